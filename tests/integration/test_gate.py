"""Passwords, headers and a rate over HTTP: what is asked of every request, whatever its path."""

from __future__ import annotations

import asyncio
import logging
import threading
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from unittest import mock

import bcrypt
import pytest

from integration.secured import BODY, CREDENTIALS, HASH, PATIENCE, TLS, Authority, secured, until
from qmp_exporter.web import passwords


if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OK = (200, BODY.decode())
USERS = f"basic_auth_users:\n  alice: {HASH}\n"
STREAM = "/events"
PATHS = [
    "/metrics",
    "/",
    "/vm?name=a",
    STREAM,
    "/config",
    "/-/reload",
    "/-/healthy",
    "/-/ready",
    "/nowhere",
    "/-/nowhere",
    "/metrics/",
    "//",
]


def basic(name: str | bytes, password: str | bytes) -> str:
    """The header of a user with a password."""
    parts = (part.encode() if isinstance(part, str) else part for part in (name, password))
    return f"Authorization: Basic {b64encode(b':'.join(parts)).decode()}"


@pytest.fixture
def checked() -> Iterator[list[bytes]]:
    """The hashes against which passwords are checked, one for each check."""
    made: list[bytes] = []
    real = bcrypt.hashpw

    def hashpw(password: bytes, salt: bytes) -> bytes:
        made.append(salt)
        return real(password, salt)

    with mock.patch.object(passwords.bcrypt, "hashpw", hashpw):
        yield made


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "TRACE"])
async def test_nothing_is_answered_without_a_password(
    method: str, path: str, tmp_path: Path
) -> None:
    """Whatever there is at a path, if anything: 401, and how to ask."""
    async with secured(tmp_path, USERS) as running:
        status, fields, body = await running.ask(None, f"{method} {path}")
        assert (status, fields["WWW-Authenticate"]) == (401, "Basic")
        assert BODY.decode() not in body
        assert body == ("" if method == "HEAD" else "a user and a password are needed\n")
        if path != STREAM:  # which would not end
            assert (await running.ask(None, f"{method} {path}", CREDENTIALS))[0] != 401
        assert running.rejected["401"] == 1


@pytest.mark.parametrize(
    "fields",
    [
        [basic("alice", "wrong")],
        [basic("alice", "")],
        [basic("", "test")],
        [basic("Alice", "test")],
        [basic("bob", "test")],
        [basic("alice", "test ")],
        [basic("alice", "test\0")],
        [basic("alice:", "test")],
        ["Authorization: Basic"],
        ["Authorization: Basic "],
        ["Authorization: Basic YWxpY2U6dGVzdA"],
        ["Authorization: Basic !WxpY2U6dGVzdA=="],
        ["Authorization: Basic YWxpY2U="],
        ["Authorization: Bearer YWxpY2U6dGVzdA=="],
        ["Authorization: alice:test"],
        ["Authorization: "],
        ["Authorization: Basic YWxpY2U6dGVzdA==, Basic YWxpY2U6dGVzdA=="],
        [basic("alice", "wrong"), CREDENTIALS],
    ],
)
async def test_what_is_not_the_password_is_401(fields: list[str], tmp_path: Path) -> None:
    """Whatever it is, and however it is written."""
    async with secured(tmp_path, USERS) as running:
        assert (await running.get(None, "/metrics", *fields))[0] == 401


@pytest.mark.parametrize(
    "field",
    [
        CREDENTIALS,
        CREDENTIALS.replace("Basic", "bAsIc"),
        CREDENTIALS.lower()[:14] + CREDENTIALS[14:],
    ],
)
async def test_the_password_is_enough(field: str, tmp_path: Path) -> None:
    """The scheme in letters of any case, as RFC 7617 has it."""
    async with secured(tmp_path, USERS) as running:
        assert await running.get(None, "/metrics", field) == OK


async def test_over_tls_both_are_asked_for(tmp_path: Path) -> None:
    """A certificate is no password."""
    authority = Authority(tmp_path)
    async with secured(tmp_path, TLS + USERS) as running:
        assert (await running.get(authority.client()))[0] == 401
        assert await running.get(authority.client(), "/metrics", CREDENTIALS) == OK


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("\u00e9l\u00e8ve", "pa\u00dfwort"),
        ("", "empty name"),
        ("1234", "number"),
        ("a b", ""),
        ("long", "x" * 72),
    ],
)
async def test_names_and_passwords_are_of_any_kind(
    name: str, password: str, tmp_path: Path
) -> None:
    """In UTF-8, empty, or a number to YAML."""
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    written = name if name.isdecimal() else f'"{name}"'
    async with secured(tmp_path, f"basic_auth_users:\n  {written}: {hashed}\n") as running:
        assert await running.get(None, "/metrics", basic(name, password)) == OK
        assert (await running.get(None, "/metrics", basic(name, password[:-1] + "?")))[0] == 401


async def test_bytes_that_are_no_text_are_a_wrong_password(tmp_path: Path) -> None:
    """Not an error."""
    async with secured(tmp_path, USERS) as running:
        assert (await running.get(None, "/metrics", basic(b"\xff\xfe", b"\x80\0\xff")))[0] == 401


async def test_beyond_72_bytes_nothing_counts(tmp_path: Path) -> None:
    """As in Go, whose bcrypt looks at no more when it compares."""
    hashed = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    async with secured(tmp_path, f"basic_auth_users: {{long: {hashed}}}\n") as running:
        assert await running.get(None, "/metrics", basic("long", "x" * 100)) == OK
        assert (await running.get(None, "/metrics", basic("long", "x" * 71)))[0] == 401


async def test_a_password_is_checked_once(tmp_path: Path, checked: list[bytes]) -> None:
    """And a wrong one too; each scrape after that costs nothing."""
    async with secured(tmp_path, USERS) as running:
        for _ in range(5):
            assert await running.get(None, "/metrics", CREDENTIALS) == OK
            assert (await running.get(None, "/metrics", basic("alice", "no")))[0] == 401
        assert len(checked) == 2


async def test_the_same_at_once_is_checked_once(tmp_path: Path, checked: list[bytes]) -> None:
    """Ten scrapes that begin together are one check."""
    async with secured(tmp_path, USERS) as running:
        asked = [running.get(None, "/metrics", CREDENTIALS) for _ in range(10)]
        assert await asyncio.gather(*asked) == [OK] * 10
        assert len(checked) == 1


async def test_nobody_can_be_told_from_somebody(tmp_path: Path, checked: list[bytes]) -> None:
    """For an unknown user a hash is made that costs the same; without a header, none is."""
    async with secured(tmp_path, USERS) as running:
        await running.get(None, "/metrics", basic("alice", "wrong"))
        await running.get(None, "/metrics", basic("nobody", "wrong"))
        await running.get(None, "/metrics")
        assert [salt[:7] for salt in checked] == [b"$2b$04$", b"$2b$04$"]


async def test_who_was_let_in_does_not_wait_for_others(tmp_path: Path) -> None:
    """However many passwords are tried; beyond a bound these get 503, and nothing is checked."""
    held = asyncio.Event()
    began = asyncio.Event()

    async def hold(work: Any) -> bool:
        began.set()
        await held.wait()
        return bool(work())

    async with secured(tmp_path, USERS) as running:
        assert await running.get(None, "/metrics", CREDENTIALS) == OK
        with mock.patch.object(passwords, "_apart", hold):
            tries = [
                asyncio.create_task(running.get(None, "/metrics", basic("alice", f"{n}")))
                for n in range(passwords.WAITING + 5)
            ]
            await asyncio.wait_for(began.wait(), PATIENCE)
            await until(lambda: running.rejected["503"] == 5)
            assert await running.get(None, "/metrics", CREDENTIALS) == OK
            held.set()
            found = sorted(status for status, _ in await asyncio.gather(*tries))
        assert found == [401] * passwords.WAITING + [503] * 5
        assert await running.get(None, "/metrics", CREDENTIALS) == OK


async def test_a_check_keeps_nobody_from_stopping(tmp_path: Path) -> None:
    """A hash may cost hours; the server stops within its seconds, and so does the process."""
    began, go = threading.Event(), threading.Event()

    def hashpw(_password: bytes, salt: bytes) -> bytes:
        began.set()
        go.wait()
        return salt

    with mock.patch.object(passwords.bcrypt, "hashpw", hashpw):
        try:
            async with secured(tmp_path, USERS) as running:
                asked = asyncio.create_task(running.get(None, "/metrics", CREDENTIALS))
                assert await asyncio.to_thread(began.wait, PATIENCE)
                async with asyncio.timeout(PATIENCE):
                    await running.server.stop()
                with pytest.raises(OSError):  # noqa: PT011 - which one, depends on who is quicker
                    await asked
            (thread,) = [t for t in threading.enumerate() if t.name == "qmp-exporter-bcrypt"]
            assert thread.daemon
        finally:
            go.set()
        await asyncio.to_thread(thread.join, PATIENCE)


async def test_secrets_are_not_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither hashes nor passwords, at any level, nor in what is shown of the state."""
    with caplog.at_level(logging.DEBUG):
        async with secured(tmp_path, USERS) as running:
            await running.get(None, "/metrics", CREDENTIALS)
            await running.get(None, "/metrics", basic("alice", "hunter2"))
            shown = f"{running.security.state!r} {running.security.state}"
    for secret in (HASH, "hunter2", "YWxpY2U", b64encode(b"alice:hunter2").decode()):
        assert secret not in caplog.text + shown


HEADERS = """\
http_server_config:
  headers:
    Strict-Transport-Security: max-age=31536000; includeSubDomains
    X-Content-Type-Options: nosniff
    X-Frame-Options: sameorigin
    X-XSS-Protection: 0
    Content-Security-Policy: >
      default-src 'none';
      frame-ancestors 'self'
"""


@pytest.mark.parametrize(
    ("request_line", "fields"),
    [
        ("GET /metrics", []),
        ("GET /-/healthy", []),
        ("GET /nowhere", []),
        ("POST /metrics", []),
        ("GET /metrics", [basic("alice", "wrong")]),
    ],
)
async def test_headers_are_on_every_answer(
    request_line: str, fields: list[str], tmp_path: Path
) -> None:
    """Also on what is refused; numbers as they are written, and in one line."""
    users = USERS if any("Basic" in field for field in fields) else ""
    async with secured(tmp_path, HEADERS + users) as running:
        found = (await running.ask(None, request_line, *fields))[1]
        assert found["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
        assert found["X-Content-Type-Options"] == "nosniff"
        assert found["X-Frame-Options"] == "sameorigin"
        assert found["X-XSS-Protection"] == "0"
        assert found["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'self'"


async def test_the_page_keeps_its_own_policy(tmp_path: Path) -> None:
    """As with Go, where what an answer sets itself comes after; the others are set."""
    async with secured(tmp_path, HEADERS) as running:
        found = (await running.ask(None, "GET /"))[1]
        assert "style-src 'sha256-" in found["Content-Security-Policy"]
        assert found["X-Frame-Options"] == "sameorigin"


async def test_a_blank_header_is_not_set(tmp_path: Path) -> None:
    """Neither an empty one nor one of nothing."""
    text = 'http_server_config: {headers: {X-XSS-Protection: "", Content-Security-Policy: }}\n'
    async with secured(tmp_path, text) as running:
        found = (await running.ask(None, "GET /metrics"))[1]
        assert not {"X-XSS-Protection", "Content-Security-Policy"} & set(found)


async def test_more_than_the_rate_is_429(tmp_path: Path, checked: list[bytes]) -> None:
    """Over all paths and clients, and before a password is looked at."""
    text = f"rate_limit: {{interval: 1h, burst: 4}}\n{USERS}"
    async with secured(tmp_path, text) as running:
        assert (await running.get())[0] == 401
        assert (await running.get(None, "/-/healthy", CREDENTIALS))[0] == 200
        assert (await running.get(None, "/nowhere", CREDENTIALS))[0] == 404
        assert await running.get(None, "/metrics", CREDENTIALS) == OK
        status, text = await running.get(None, "/metrics", basic("alice", "other"))
        assert (status, text) == (
            429,
            "more requests than rate_limit lets through; try again later\n",
        )
        assert (await running.get(None, "/-/healthy"))[0] == 429
        assert (running.rejected["401"], running.rejected["429"]) == (1, 2)
        assert len(checked) == 1


async def test_what_is_left_of_the_rate_survives_a_reload(tmp_path: Path) -> None:
    """Of the same rate; another one begins anew, and none lets all through."""
    path = tmp_path / "web.yml"
    rate = "rate_limit: {interval: 1h, burst: 1}\n"
    async with secured(tmp_path, rate) as running:
        assert await running.get() == OK
        for text, status in (
            (f"# other\n{rate}", 429),
            (rate.replace("1h", "2h"), 200),
            ("rate_limit: {interval: 0, burst: 1}\n", 200),
            ("rate_limit: {interval: 1h, burst: 0}\n", 429),
            ("", 200),
        ):
            path.write_text(text)
            running.security.look()
            assert (await running.get())[0] == status
