"""The HTTP side over real sockets: every header, every limit, every way to end."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from integration.serving import (
    BODY,
    PATIENCE,
    TYPE,
    Held,
    answers,
    application,
    drop,
    raw,
    serving,
)
from qmp_exporter.errors import ConfigError, ListenError
from qmp_exporter.telemetry.body import Body
from qmp_exporter.web import Overview, Server, UnixAddress, parse_address, reply
from unit.web.samples import CALM


if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp.typedefs import Handler


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", ":0", "localhost:0", "unix"])
async def test_every_kind_of_address_is_served(address: str, tmp_path: Path) -> None:
    """Metrics come over IPv4, IPv6, both, a name, and a unix socket; ``bound`` says where."""
    path = tmp_path / "web.sock"
    if address == "unix":
        address = f"unix:{path}"
    async with serving(address=address) as (server, client):
        assert server.bound
        assert not server.bound[0].endswith(":0")
        async with client.get("/metrics") as response:
            assert response.status == 200
            assert gzip.decompress(await response.read()) == BODY
    assert server.bound == ()
    assert not path.exists()


async def test_several_listeners_share_one_application(tmp_path: Path) -> None:
    """One server listens on all of its addresses, in the order given."""
    addresses = [
        parse_address("127.0.0.1:0"),
        UnixAddress(str(tmp_path / "s")),
        parse_address(":0"),
    ]
    server = Server(application(), addresses)
    await server.start()
    try:
        kinds = [bound.rpartition(":")[0] for bound in server.bound]
        assert kinds == ["http://127.0.0.1", "unix", "http://[::]"]
        async with aiohttp.ClientSession() as client:
            for bound in (server.bound[0], server.bound[2].replace("[::]", "[::1]")):
                async with client.get(f"{bound}/-/ready") as response:
                    assert response.status == 200
    finally:
        await server.stop()


async def test_all_addresses_are_bound_or_none(tmp_path: Path) -> None:
    """One address that cannot be bound is an error that names it, and the others are let go."""
    path = tmp_path / "web.sock"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        addresses = [UnixAddress(str(path)), parse_address(f"127.0.0.1:{port}")]
        server = Server(application(), addresses)
        with pytest.raises(ListenError, match=rf"127\.0\.0\.1:{port}: Address already in use"):
            await server.start()
    assert not path.exists()
    assert server.bound == ()


async def test_scrape_carries_its_headers() -> None:
    """An answer says its type and length, is never stored, and names what it depends on."""
    async with serving() as (_, client), client.get("/metrics") as response:
        body = await response.read()
        assert dict(response.headers) == {
            "Content-Type": TYPE,
            "Content-Length": str(len(body)),
            "Content-Encoding": "gzip",
            "Cache-Control": "no-store",
            "Vary": "Accept, Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Server": "qmp-exporter",
            "Date": response.headers["Date"],
        }


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/-/ready"])
@pytest.mark.parametrize("coding", ["gzip", "identity"])
async def test_head_says_what_get_says(path: str, coding: str) -> None:
    """HEAD has the status and the headers of GET, the length included, and no body."""
    headers = {"Accept-Encoding": coding}
    async with serving() as (_, client):
        async with client.get(path, headers=headers) as response:
            expected = dict(response.headers) | {"Date": ""}
            assert len(await response.read()) == int(expected["Content-Length"]) > 0
        async with client.head(path, headers=headers) as response:
            assert response.status == 200
            assert dict(response.headers) | {"Date": ""} == expected
            assert await response.read() == b""


@pytest.mark.parametrize(
    ("header", "coding"),
    [("gzip", "gzip"), ("*", "gzip"), ("gzip;q=0", None), ("br", None), ("identity", None)],
)
@pytest.mark.parametrize("path", ["/metrics", "/"])
async def test_gzip_goes_to_those_who_take_it(path: str, header: str, coding: str | None) -> None:
    """The packed body is the plain one; without an offer of gzip it comes plain."""
    async with serving() as (_, client):
        async with client.get(path, headers={"Accept-Encoding": "identity"}) as response:
            plain = await response.read()
        async with client.get(path, headers={"Accept-Encoding": header}) as response:
            body = await response.read()
            assert response.headers.get("Content-Encoding") == coding
            assert "Accept-Encoding" in response.headers["Vary"]
            assert (gzip.decompress(body) if coding else body) == plain


async def test_render_is_told_what_is_asked_for() -> None:
    """All Accept lines as one list, None without any, and every name[] reach the renderer."""
    calls: list[tuple[str | None, frozenset[str]]] = []

    def render(accept: str | None, names: frozenset[str]) -> tuple[Body, str]:
        calls.append((accept, names))
        return (), TYPE

    async with serving(render=render) as (server, client):
        headers = [("Accept", "a/b;q=0.5"), ("Accept", "c/d")]
        query = [("name[]", "qemu_up"), ("name[]", "qemu_events_total"), ("other", "x")]
        await client.get("/metrics", headers=headers, params=query)
        reader, writer = await raw(server)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        await drop(writer)
    assert calls == [
        ("a/b;q=0.5, c/d", frozenset({"qemu_up", "qemu_events_total"})),
        (None, frozenset()),
    ]


async def test_slow_render_does_not_stall_the_loop() -> None:
    """While a scrape is being rendered, other requests are answered."""
    held = Held()
    async with serving(render=held) as (_, client):
        scrape = asyncio.create_task(client.get("/metrics"))
        await held.wait_started()
        for path in ("/-/healthy", "/-/ready", "/"):
            async with client.get(path) as response:
                assert response.status == 200
        assert not scrape.done()
        held.go.set()
        assert (await scrape).status == 200


async def test_scrapes_beyond_the_limit_are_turned_away() -> None:
    """The one too many gets 503 and is counted; when one is done there is room again."""
    held = Held()
    rejected: list[str] = []
    async with serving(render=held, max_requests=2, rejected=rejected.append) as (_, client):
        scrapes = [asyncio.create_task(client.get("/metrics")) for _ in range(2)]
        for _ in scrapes:
            await held.wait_started()
        async with client.get("/metrics") as response:
            assert response.status == 503
            reason = "2 scrapes are under way, which is the limit; try again later\n"
            assert await response.text() == reason
        assert rejected == ["503"]
        held.go.set()
        assert [(await scrape).status for scrape in scrapes] == [200, 200]
        async with client.get("/metrics") as response:
            assert response.status == 200
        assert rejected == ["503"]


async def test_limit_of_zero_is_no_limit() -> None:
    """With the limit off nobody is turned away."""
    held = Held()
    rejected: list[str] = []
    async with serving(render=held, max_requests=0, rejected=rejected.append) as (_, client):
        scrapes = [asyncio.create_task(client.get("/metrics")) for _ in range(50)]
        await held.wait_started()
        held.go.set()
        assert {(await scrape).status for scrape in scrapes} == {200}
    assert rejected == []


# Far more than the kernel takes for a client that does not read.
HUGE = bytes(32 << 20)
SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_place_is_kept_until_the_answer_is_read() -> None:
    """A client that reads slowly counts against the limit: its answer is in memory meanwhile."""
    held = Held(HUGE)
    held.go.set()
    async with serving(render=held, max_requests=1) as (server, client):
        reader, writer = await raw(server)
        writer.write(SCRAPE)
        await reader.readuntil(b"\r\n\r\n")
        async with client.get("/metrics") as response:
            assert response.status == 503
        assert await reader.readexactly(len(HUGE)) == HUGE
        async with client.get("/metrics", headers={"Accept-Encoding": "gzip"}) as response:
            assert response.status == 200
        await drop(writer)


async def test_client_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time-out the connection is cut and its place is free."""
    monkeypatch.setattr(reply, "SEND_TIMEOUT", 0.05)
    held = Held(HUGE)
    held.go.set()
    async with serving(render=held, max_requests=1) as (server, client):
        reader, writer = await raw(server)
        writer.write(SCRAPE)
        await reader.readuntil(b"\r\n\r\n")
        await answers(client, "/metrics")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(len(HUGE))
        await drop(writer)


async def test_nothing_of_an_answer_stays_with_us() -> None:
    """A request is done when the kernel has its answer (at most a byte is left), not most of it."""
    limits: list[tuple[int, int]] = []

    @web.middleware
    async def look(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        assert request.transport
        limits.append(request.transport.get_write_buffer_limits())
        return response

    async with serving(middlewares=[look]) as (_, client):
        await client.get("/metrics")
    assert limits == [(0, 1)]


@pytest.mark.parametrize("where", ["render", "overview"])
async def test_failure_is_told_to_the_log_only(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What fails inside is one line for the client, and a record with its cause for us."""

    def fail(*_args: object) -> Any:
        raise ValueError("a secret")

    path = {"render": "/metrics", "overview": "/"}[where]
    async with serving(**{where: fail}) as (_, client), client.get(path) as response:
        assert response.status == 500
        assert response.content_type == "text/plain"
        assert await response.text() == "internal error; the log of qmp-exporter says more\n"
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.getMessage() == f"cannot answer GET {path!r}"
    assert record.exc_info
    assert isinstance(record.exc_info[1], ValueError)


async def test_page_carries_its_policy() -> None:
    """The page is HTML under a policy that lets it run its own script and nothing else."""
    async with serving() as (_, client), client.get("/") as response:
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; style")
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Vary"] == "Accept-Encoding"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert CALM.vm in gzip.decompress(await response.read()).decode()


async def test_page_can_be_switched_off() -> None:
    """Without the page there are the links, and no machine is named."""
    async with serving(page=False) as (_, client), client.get("/") as response:
        document = gzip.decompress(await response.read()).decode()
        assert CALM.vm not in document
        assert 'href="/metrics"' in document


async def test_page_shows_a_thousand_machines() -> None:
    """A fleet is one page, even where a name cannot be encoded."""
    rows = tuple(msgspec.structs.replace(CALM, vm=f"vm-{n}\udcff") for n in range(1000))
    overview = Overview(version="1", now=1e6, rows=rows, links=())
    async with serving(overview=lambda: overview) as (_, client), client.get("/") as response:
        document = gzip.decompress(await response.read()).decode()
        assert document.count('<tr data-key="vm-') == 1000


@pytest.mark.parametrize("name", ["ready", "healthy"])
async def test_probes_say_yes_or_why_not(name: str) -> None:
    """200 while there is nothing to say, 503 with the reason when there is; never cached."""
    reasons: list[str | None] = [None, "the first scan is not done"]
    async with serving(**{name: lambda: reasons.pop(0)}) as (_, client):
        async with client.get(f"/-/{name}") as response:
            assert response.status == 200
            assert await response.text() == f"qmp-exporter is {name}.\n"
            assert response.headers["Cache-Control"] == "no-store"
        async with client.get(f"/-/{name}") as response:
            assert response.status == 503
            assert await response.text() == (
                f"qmp-exporter is not {name}: the first scan is not done\n"
            )


async def test_error_of_our_own_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Only what a client did wrong is hushed; a failure below the routes is an error."""

    async def fail(_request: web.Request, _response: web.StreamResponse) -> None:
        raise ValueError("a bug")

    app = application()
    app.on_response_prepare.append(fail)
    server = Server(app, [parse_address("127.0.0.1:0")])
    await server.start()
    async with aiohttp.ClientSession(server.bound[0]) as client:
        with contextlib.suppress(aiohttp.ClientConnectionError):
            await client.get("/-/ready")
    await server.stop(1.0)
    assert any(record.levelno == logging.ERROR for record in caplog.records)


async def test_client_that_left_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """Who hangs up during the render gives its place back, and nothing is said about it."""
    held = Held()
    async with serving(render=held, max_requests=1) as (server, client):
        _, writer = await raw(server)
        writer.write(SCRAPE)
        await held.wait_started()
        writer.transport.abort()
        async with client.get("/-/ready") as response:  # by then the server has seen it
            assert response.status == 200
        held.go.set()
        await answers(client, "/metrics")
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


async def test_request_under_way_is_finished_before_the_end() -> None:
    """A stop takes no new connection, and lets the scrape under way have its answer."""
    held = Held()
    async with serving(render=held) as (server, client):
        bound = server.bound[0]
        scrape = asyncio.create_task(client.get("/metrics"))
        await held.wait_started()
        stop = asyncio.create_task(server.stop(PATIENCE))
        async with aiohttp.ClientSession() as other:
            with pytest.raises(aiohttp.ClientConnectionError):
                await other.get(f"{bound}/-/ready")
        assert not stop.done()
        held.go.set()
        response = await scrape
        assert gzip.decompress(await response.read()) == BODY
        await stop


async def test_idle_connections_do_not_delay_the_end() -> None:
    """Connections kept alive, or silent from the start, are closed by a stop at once."""
    async with serving() as (server, client):
        async with client.get("/-/ready") as response:
            await response.read()
        reader, writer = await raw(server)
        async with asyncio.timeout(PATIENCE / 2):
            await server.stop(PATIENCE)
        assert await reader.read() == b""
        await drop(writer)


@pytest.mark.parametrize("body", [BODY, HUGE])
async def test_end_comes_in_time(body: bytes) -> None:
    """A render that hangs, or a client that does not read, is given up at the time-out."""
    held = Held(body)
    if body is HUGE:
        held.go.set()
    async with serving(render=held) as (server, _):
        reader, writer = await raw(server)
        writer.write(SCRAPE)
        await held.wait_started()
        if body is HUGE:
            await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(1.7):
            await server.stop(1.0)
        held.go.set()
        with contextlib.suppress(ConnectionError):
            assert len(await reader.read()) < len(body)
        await drop(writer)


async def test_stop_without_start_is_harmless() -> None:
    """A server that never ran, or was stopped, can be stopped."""
    server = Server(application(), [parse_address("127.0.0.1:0")])
    await server.stop()
    await server.stop()


@pytest.mark.parametrize(
    "path", ["metrics", "", "/-/ready", "/a{b}", "/a?b", "/a b", "/%20", "/vm", "/config"]
)
async def test_wrong_telemetry_path_is_an_error(path: str) -> None:
    """A telemetry path that cannot work is refused, with what was found and expected."""
    with pytest.raises(ConfigError, match=r"found the telemetry path .*; expected"):
        application(telemetry_path=path)


async def test_telemetry_path_can_be_the_root() -> None:
    """With ``/`` as the telemetry path the metrics take the place of the page."""
    async with serving(telemetry_path="/") as (_, client), client.get("/") as response:
        assert response.headers["Content-Type"] == TYPE


async def test_middlewares_come_before_every_path() -> None:
    """What is dropped in (authentication, say) sees all requests, and its answer is final."""

    @web.middleware
    async def nobody(request: web.Request, handler: Handler) -> web.StreamResponse:  # noqa: ARG001
        return web.Response(status=401)

    async with serving(middlewares=[nobody]) as (_, client):
        for path in ("/", "/metrics", "/-/healthy", "/nothing"):
            async with client.get(path) as response:
                assert response.status == 401
                assert response.headers["Server"] == "qmp-exporter"
