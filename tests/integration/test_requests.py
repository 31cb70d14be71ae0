"""Every endpoint with a wrong method, path, header or body, and requests made to be misread."""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
from typing import TYPE_CHECKING, Final

import msgspec
import pytest

from integration.serving import PATIENCE, application, drop, raw, serving
from qmp_exporter.web import Server, parse_address
from qmp_exporter.web.head import FIELDS, HEAD, LINE
from support import require_tool


if TYPE_CHECKING:
    from pathlib import Path

READERS: Final = ("/", "/metrics", "/config", "/-/healthy", "/-/ready")
ENDPOINTS: Final = (*READERS, "/-/reload")
ALWAYS: Final = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "server": "qmp-exporter",
    "x-content-type-options": "nosniff",
}
BODY: Final = "a request to qmp-exporter has no body"
NOTHING: Final = "nothing is at this path; / has links to all there is"
TWICE: Final = "found the length of the body told in two ways; expected no body"
NONE: Final = "found no request line; expected one such as GET /metrics HTTP/1.1"
LINES: Final = "found a line that does not end in CRLF; expected CRLF"
FIELD: Final = "found a header line that is none; expected NAME: VALUE"
VERSION: Final = "found another version of HTTP; expected HTTP/1.1"
METHOD: Final = "found a method that is not served; expected GET or HEAD"


class Answer(msgspec.Struct):
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: str


def answers(received: bytes, *methods: str) -> list[Answer]:
    """Read what a server sent as answers to requests of these methods, and hold it to that."""
    found = []
    for method in methods:
        head, end, received = received.partition(b"\r\n\r\n")
        assert end, head
        line, *fields = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (f.split(": ", 1) for f in fields)}
        assert len(headers) == len(fields), "a header twice"
        match = re.fullmatch(r"HTTP/1\.[01] ([0-9]{3}) [A-Za-z -]+", line)
        assert match, line
        size = 0 if method == "HEAD" else int(headers.get("content-length", "0"))
        found.append(Answer(int(match[1]), headers, received[:size].decode()))
        received = received[size:]
    assert received == b"", "an answer more than requests"
    return found


def is_a_sentence(answer: Answer, sentence: str | None = None) -> None:
    """What was refused is told in one line of plain text, with the headers of all answers."""
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.body.count("\n") == 1
    assert answer.body.endswith("\n")
    assert "<" not in answer.body
    assert ALWAYS.items() <= answer.headers.items()
    assert sentence is None or answer.body == f"{sentence}\n"


async def told(server: Server, request: bytes) -> bytes:
    """Send bytes, and read until the server hangs up."""
    reader, writer = await raw(server)
    writer.write(request)
    async with asyncio.timeout(PATIENCE):
        received = await reader.read()
    await drop(writer)
    return received


def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a client does, it cannot fill our log."""
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


# What is served


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"]
)
async def test_every_method_of_every_endpoint(
    path: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Served or 405 with Allow in one sentence; OPTIONS says what is allowed; nothing is stored."""
    allowed = ("POST",) if path == "/-/reload" else ("GET", "HEAD")
    async with serving() as (server, _):
        request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        (answer,) = answers(await told(server, request.encode()), method)
    assert ALWAYS.items() <= answer.headers.items()
    if method in allowed:
        assert answer.status == 200
        assert "allow" not in answer.headers
    elif method == "OPTIONS":
        assert (answer.status, answer.body) == (204, "")
        assert answer.headers["allow"] == ", ".join(allowed)
        assert "content-type" not in answer.headers
    else:
        assert answer.status == 405
        assert answer.headers["allow"] == ", ".join(allowed)
        if method != "HEAD":
            is_a_sentence(answer, f"found {method}; expected {' or '.join(allowed)}")
    quiet(caplog)


@pytest.mark.parametrize("path", ["/vm", "/events"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
async def test_other_methods_of_the_page(path: str, method: str) -> None:
    """As of all that is only read."""
    async with serving() as (server, _):
        request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        (answer,) = answers(await told(server, request.encode()), method)
    assert answer.status == (204 if method == "OPTIONS" else 405)
    assert answer.headers["allow"] == "GET, HEAD"
    if answer.status == 405:
        is_a_sentence(answer, f"found {method}; expected GET or HEAD")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/metrics?", 200),
        ("/metrics?x=y", 200),
        ("/metrics?x=%zz&%ff", 200),
        ("/metrics?name[]=qemu_up", 200),
        ("/%6detrics", 200),
        ("/metrics?#", 400),
        ("/metrics/", 404),
        ("//metrics", 404),
        ("/metrics//", 404),
        ("/METRICS", 404),
        ("/metrics%00", 404),
        ("/metrics%2f", 404),
        ("/%2e%2e/metrics", 404),
        ("/x/../metrics", 404),
        ("/./metrics", 404),
        ("/metrics;x", 404),
        ("/metrics\\", 404),
        ("/-/", 404),
        ("/-/reload/", 404),
        ("/config/", 404),
        ("/%zz", 404),
        ("/%ff%fe", 404),
        ("/%0d%0aX:%20y", 404),
        ("//evil.example/", 404),
        ("///", 404),
        ("/:80/", 404),
        ("/<script>", 404),
        ("/" + "a" * 4000, 404),
        ("http://x/metrics", 200),
        ("HTTPS://x:1/metrics?a", 200),
        ("http://x", 200),
        ("http://x?a", 200),
        ("http:///metrics", 400),
        ("ftp://x/metrics", 400),
        ("x:80", 400),
        ("metrics", 400),
        ("*", 400),
        ("/caf\u00e9", 400),
        ("/\x7f", 400),
    ],
)
async def test_only_the_very_path_is_served(
    target: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is guessed or redirected, and what is refused is not repeated."""
    async with serving() as (server, _):
        request = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        (answer,) = answers(await told(server, request.encode()), "GET")
    assert answer.status == status
    if status != 200:
        is_a_sentence(answer, NOTHING if status == 404 else None)
    quiet(caplog)


async def test_options_of_the_server_is_that_of_its_page() -> None:
    """The asterisk-form asks for no path at all."""
    async with serving() as (server, _):
        request = b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        (answer,) = answers(await told(server, request), "OPTIONS")
    assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD")


# Requests that are none, or that two readers could take for different ones


def get(*lines: str, version: str = "1.1", method: str = "GET") -> bytes:
    """A request for the metrics with these header lines."""
    head = (f"{method} /metrics HTTP/{version}", *lines, "", "")
    return "\r\n".join(head).encode("latin-1")


NEXT: Final = get("Host: x")
SHAPES: Final = {
    "CL and TE": (get("Host: x", "Content-Length: 5", "Transfer-Encoding: chunked"), 400, TWICE),
    "TE and CL": (get("Host: x", "Transfer-Encoding: chunked", "Content-Length: 5"), 400, TWICE),
    "CL twice": (get("Host: x", "Content-Length: 5", "Content-Length: 5"), 400, TWICE),
    "CL twice, other": (get("Host: x", "Content-Length: 0", "Content-Length: 5"), 400, TWICE),
    "CL list": (get("Host: x", "Content-Length: 5, 5"), 400, None),
    "CL signed": (get("Host: x", "Content-Length: +5"), 400, None),
    "CL negative": (get("Host: x", "Content-Length: -1"), 400, None),
    "CL hexadecimal": (get("Host: x", "Content-Length: 0x5"), 400, None),
    "CL huge": (get("Host: x", f"Content-Length: {'9' * 40}"), 400, None),
    "CL empty": (get("Host: x", "Content-Length:"), 400, None),
    "CL spaced": (get("Host: x", "Content-Length: 1 0"), 400, None),
    "CL superscript": (get("Host: x", "Content-Length: \xb2"), 400, None),
    "CL": (get("Host: x", "Content-Length: 5") + b"hello", 413, BODY),
    "CL and a request in it": (get("Host: x", f"Content-Length: {len(NEXT)}") + NEXT, 413, BODY),
    "TE": (get("Host: x", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + NEXT, 413, BODY),
    "TE with chunk extensions": (
        get("Host: x", "Transfer-Encoding: chunked") + b"5;a=\nb\r\nhello\r\n0\r\n\r\n",
        413,
        BODY,
    ),
    "TE twice": (get("Host: x", *["Transfer-Encoding: chunked"] * 2), 400, TWICE),
    "TE of HTTP/1.0": (get("Transfer-Encoding: chunked", version="1.0"), 400, TWICE),
    "TE unknown": (get("Host: x", "Transfer-Encoding: gzip, chunked"), 501, None),
    "TE identity": (get("Host: x", "Transfer-Encoding: identity"), 501, None),
    "TE disguised": (get("Host: x", "Transfer-Encoding: \x0bchunked"), 400, FIELD),
    "TE with a space": (get("Host: x", "Transfer-Encoding : chunked"), 400, FIELD),
    "obs-fold": (get("Host: x", "X: a", " b"), 400, FIELD),
    "obs-fold of TE": (get("Host: x", "Transfer-Encoding:", "\tchunked"), 400, FIELD),
    "space in front": (get(" Host: x"), 400, FIELD),
    "space before the colon": (get("Host : x"), 400, FIELD),
    "no colon": (get("Host: x", "bad header"), 400, FIELD),
    "no name": (get("Host: x", ": y"), 400, FIELD),
    "NUL in a value": (get("Host: x", "X: a\0b"), 400, FIELD),
    "NUL in a name": (get("Host: x", "X\0: b"), 400, FIELD),
    "NUL in the path": (b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", 400, NONE),
    "bare LF": (b"GET / HTTP/1.1\nHost: x\n\n", 400, LINES),
    "bare LF among others": (b"GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", 400, LINES),
    "bare LF at the end": (b"GET / HTTP/1.1\r\nHost: x\r\n\n", 400, LINES),
    "bare CR": (b"GET / HTTP/1.1\r\nX: a\rb\r\nHost: x\r\n\r\n", 400, LINES),
    "two empty lines": (b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, NONE),
    "no Host": (get(), 400, "found 0 Host headers; expected one"),
    "Host twice": (get("Host: x", "Host: y"), 400, "found 2 Host headers; expected one"),
    "Host with a path": (get("Host: x/y"), 400, None),
    "Host with a user": (get("Host: a@x"), 400, None),
    "HTTP/0.9": (b"GET /metrics\r\n\r\n", 400, NONE),
    "HTTP/0.9, the form of Nagios": (b"GET /metrics\r\n", 400, NONE),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, VERSION),
    "HTTP/1.2": (get("Host: x", version="1.2"), 505, VERSION),
    "HTTP/1.10": (get("Host: x", version="1.10"), 400, NONE),
    "two spaces": (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400, NONE),
    "tab": (b"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, NONE),
    "space at the end": (b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n", 400, NONE),
    "a path with a space": (b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400, NONE),
    "CONNECT": (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n" + NEXT, 501, METHOD),
    "an unknown method": (get("Host: x", method="BREW"), 501, METHOD),
    "a method in small letters": (get("Host: x", method="get"), 501, METHOD),
    "Expect": (get("Host: x", "Expect: tea"), 417, None),
    "TLS": (bytes.fromhex("16030100c8010000c40303") + bytes(200), 400, NONE),
    "TLS with line ends": (b"\x16\x03\x01\x00\xc8\r\n\r\n", 400, NONE),
    "binary": (bytes(range(256)), 400, None),
    "a long line": (b"GET /" + b"x" * LINE + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, None),
    "a line without end": (b"GET /" + b"x" * 2 * LINE, 414, None),
    "a long header": (get("Host: x", "X: " + "x" * HEAD), 431, None),
    "headers without end": (get("Host: x")[:-2] + b"X: " + b"x" * 2 * HEAD, 431, None),
    "many headers": (get("Host: x", *["X: y"] * FIELDS), 431, None),
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_what_is_not_plainly_one_request_is_refused(
    shape: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One answer, with the right status and one sentence; what follows is not looked at."""
    request, status, sentence = SHAPES[shape]
    rejected: list[str] = []
    async with serving(server={"rejected": rejected.append}) as (server, _):
        (answer,) = answers(await told(server, request + NEXT), "GET")
    assert answer.status == status
    assert answer.headers["connection"] == "close"
    is_a_sentence(answer, sentence)
    assert rejected == [str(status)]
    quiet(caplog)


@pytest.mark.parametrize("shape", SHAPES)
async def test_no_shape_is_seen_by_the_application(shape: str) -> None:
    """Also if it comes byte by byte, whatever the middlewares are."""
    request, status, _ = SHAPES[shape]
    app = application()
    seen: list[str] = []

    async def look(request: object, response: object) -> None:  # noqa: ARG001
        seen.append("something")

    app.on_response_prepare.append(look)
    server = Server(app, [parse_address("127.0.0.1:0")])
    await server.start()
    reader, writer = await raw(server)
    for byte in request[:300]:
        writer.write(bytes((byte,)))
        await asyncio.sleep(0)
    writer.write(request[300:])
    async with asyncio.timeout(PATIENCE):
        (answer,) = answers(await reader.read(), "GET")
    await drop(writer)
    await server.stop(1.0)
    assert answer.status == status
    assert seen == []


@pytest.mark.parametrize("parts", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    "request_",
    [
        get("Host: x"),
        b"\r\n" + get("Host: x"),
        get("Host:x", "X:", "Y: \t a \t ", "Z: caf\xe9"),
        get("Host: x", "Content-Length: 0"),
        get("Host: x", "Expect: 100-continue"),
        get("Host: x", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        get("Host: x", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: A"),
        get("Host: x", "Content-Encoding: gzip"),
        get("Host: [::1]:10767"),
        get("Host:"),
    ],
)
async def test_what_is_one_request_has_one_answer(request_: bytes, parts: int) -> None:
    """However it comes in pieces, twice on one connection; offers to do otherwise are passed by."""
    async with serving() as (server, _):
        reader, writer = await raw(server)
        last = b"GET /metrics HTTP/1.0\r\n\r\n"
        text = request_ * 2 + last
        size = -(-len(text) // parts)
        for at in range(0, len(text), size):
            writer.write(text[at : at + size])
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE):
            found = answers(await reader.read(), *["GET"] * 3)
        await drop(writer)
    assert [answer.status for answer in found] == [200] * 3


@pytest.mark.parametrize("before", ["", "\r\n"], ids=["at once", "after an empty line"])
@pytest.mark.parametrize(
    ("fields", "status"),
    [("Content-Length: 5", 413), ("no colon", 400), ("X: " + "x" * HEAD, 431)],
    ids=["a body", "no header line", "a long one"],
)
async def test_a_head_that_is_refused_has_no_body(fields: str, status: int, before: str) -> None:
    """The length is that of the sentence which a GET would be told."""
    async with serving() as (server, _):
        request = f"HEAD /metrics HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n"
        (answer,) = answers(await told(server, (before + request).encode()), "HEAD")
        (told_of,) = answers(await told(server, b"GET" + request.encode()[4:]), "GET")
    assert (answer.status, answer.body) == (status, "")
    assert answer.headers == told_of.headers


async def test_requests_sent_ahead_are_answered_in_order() -> None:
    """As many as fit, and nothing of what follows one that closes the connection."""
    ahead = b"".join(
        f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        for method, path in [("GET", "/-/ready"), ("HEAD", "/"), ("POST", "/"), ("GET", "/x")] * 50
    )
    last = get("Host: x", "Connection: close")
    async with serving() as (server, _):
        received = await told(server, ahead + last + b"BREW x\r\n\r\n")
    found = answers(received, *["GET", "HEAD", "POST", "GET"] * 50, "GET")
    assert [answer.status for answer in found] == [200, 200, 405, 404] * 50 + [200]


async def test_who_sends_too_far_ahead_is_hung_up_on() -> None:
    """After an answer, and with nothing else kept of what was sent."""
    async with serving() as (server, _):
        received = await told(server, b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n" * 100_000)
    number = received.count(b"HTTP/1.1 ")
    assert 0 < number < 100_000
    assert {answer.status for answer in answers(received, *["GET"] * number)} == {200}


# The same, as people do it


def curl(*arguments: str) -> tuple[int, str, str]:
    """Run curl; return the status, the content type and the body."""
    program = require_tool("curl")
    marks = "\n%{http_code} %{content_type}"
    done = subprocess.run(
        [program, "-sS", "--max-time", "20", "--path-as-is", "-g", "-w", marks, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    body, _, mark = done.stdout.rpartition("\n")
    status, _, content_type = mark.partition(" ")
    return int(status), content_type, body


@pytest.mark.parametrize("path", ENDPOINTS)
async def test_curl_is_told_in_one_sentence(path: str, tmp_path: Path) -> None:
    """Of every endpoint with a wrong method, path, header or body."""
    large = tmp_path / "large"
    large.write_bytes(bytes(4 << 20))
    cases: list[tuple[tuple[str, ...], str, int]] = [
        (("-X", "DELETE"), "", 405),
        (("-X", "BREW"), "", 501),
        ((), "/", 404),
        ((), "%00", 404),
        (("-H", "Expect: tea"), "", 417),
        (("-H", "Host: a b"), "", 400),
        (("-H", "Transfer-Encoding: gzip"), "", 501),
        (("-H", f"X: {'x' * 20_000}"), "", 431),
        (("-H", f"@{_many(tmp_path)}"), "", 431),
        (("-d", "x=y"), "", 413),
        (("-X", "GET", "-d", "x=y"), "", 413),
        (("-T", str(large)), "", 413),
        (("-T", str(large), "-H", "Expect:"), "", 413),
        (("-H", "Transfer-Encoding: chunked", "-d", "x"), "", 413),
        (("-F", f"x=@{large}"), "", 413),
        (("--request-target", "x:80"), "", 400),
    ]
    async with serving() as (server, _):
        base = server.bound[0].rstrip("/")
        for arguments, more, status in cases:
            url = f"{base}{path}{more}"
            found, content_type, body = await asyncio.to_thread(curl, *arguments, url)
            assert found == status, (arguments, body)
            assert content_type == "text/plain; charset=utf-8", (arguments, body)
            assert body.count("\n") == 1, (arguments, body)


def _many(folder: Path) -> Path:
    path = folder / "headers"
    path.write_text("".join(f"X-{number}: y\n" for number in range(FIELDS + 1)))
    return path
