"""Clients that want too much, too slowly or nothing at all, and one good client among them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from apart.process import apart
from apart.program import Program, program
from integration.serving import PATIENCE, Held, drop, raw, serving
from integration.test_requests import answers, is_a_sentence


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from qmp_exporter.web import Server

MIB = 1024 * 1024
READY = b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n"
BEGUN = b"GET /-/ready HTTP/1.1\r\nHost: x\r\nX-Slow: "
FULL = "all connections are taken; try again later"

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What a client reads until the server hangs up."""
    async with asyncio.timeout(PATIENCE):
        return await reader.read()


async def served(pair: Pair) -> None:
    """Ask on a connection, and have the answer."""
    reader, writer = pair
    writer.write(READY)
    async with asyncio.timeout(PATIENCE):
        await reader.readuntil(b"qmp-exporter is ready.\n")


async def idle(server: Server) -> Pair:
    """A connection that the server has for sure: it was used."""
    pair = await raw(server)
    await served(pair)
    return pair


# Time


@pytest.mark.parametrize("begin", [b"G", b"\r\n", BEGUN, BEGUN + b"\r\n"])
async def test_a_request_that_is_not_complete_in_time_is_told_so(
    begin: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """From its first byte on, however it goes on; 408, and counted."""
    monkeypatch.setattr("qmp_exporter.web.connection.HEAD_TIMEOUT", 0.2)
    rejected: list[str] = []
    async with serving(server={"rejected": rejected.append}) as (server, _):
        reader, writer = await raw(server)
        writer.write(begin)

        async def dribble() -> None:
            while True:
                await asyncio.sleep(0.01)
                writer.write(b"x" if begin == BEGUN else b"")

        dribbling = asyncio.create_task(dribble())
        (answer,) = answers(await ended(reader), "GET")
        dribbling.cancel()
        await drop(writer)
    assert answer.status == 408
    is_a_sentence(answer, "the request was not complete within 10 s; expected all of it")
    assert rejected == ["408"]
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


async def test_a_silent_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the keep-alive time, whether it was used or never; there is nothing to answer."""
    monkeypatch.setattr("qmp_exporter.web.connection.KEEPALIVE", 0.2)
    rejected: list[str] = []
    async with serving(server={"rejected": rejected.append}) as (server, _):
        for reader, writer in (await idle(server), await raw(server)):
            assert await ended(reader) == b""
            await drop(writer)
    assert rejected == []


async def test_the_time_of_a_request_is_not_that_of_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A slow render is none of the client's doing, and the next request has all of its time."""
    monkeypatch.setattr("qmp_exporter.web.connection.HEAD_TIMEOUT", 0.2)
    monkeypatch.setattr("qmp_exporter.web.connection.KEEPALIVE", 0.2)
    held = Held(b"")
    async with serving(render=held) as (server, _):
        reader, writer = await raw(server)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        await held.wait_started()
        await asyncio.sleep(0.5)  # longer than both; time is what this is about
        held.go.set()
        async with asyncio.timeout(PATIENCE):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        await drop(writer)


async def test_a_client_that_does_not_stop_sending_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who was refused may read why for a while, then the connection is cut."""
    monkeypatch.setattr("qmp_exporter.web.connection.LINGER", 0.2)
    async with serving() as (server, _):
        reader, writer = await raw(server)
        writer.write(b"BREW / HTTP/1.1\r\n\r\n")
        (answer,) = answers(await ended(reader), "BREW")
        assert answer.status == 501
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(bytes(65536))
                    await writer.drain()
        await drop(writer)


# Number


async def test_the_oldest_idle_connection_gives_way(caplog: pytest.LogCaptureFixture) -> None:
    """To a new one, without an answer as it asked for nothing; and counted."""
    rejected: list[str] = []
    limits = {"max_connections": 3, "rejected": rejected.append}
    async with serving(server=limits) as (server, _):
        old = [await idle(server) for _ in range(3)]
        await served(old[0])  # so that the second is the oldest now
        new = await idle(server)
        assert await ended(old[1][0]) == b""
        for pair in (old[0], old[2], new):
            await served(pair)
        assert rejected == ["none"]
        for _, writer in (*old, new):
            await drop(writer)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


async def test_a_request_that_is_not_complete_gives_way_first() -> None:
    """Before those that were used; it is told why."""
    rejected: list[str] = []
    limits = {"max_connections": 3, "rejected": rejected.append}
    async with serving(server=limits) as (server, _):
        old = [await idle(server) for _ in range(2)]
        reader, writer = await raw(server)
        writer.write(BEGUN)
        new = await idle(server)
        (answer,) = answers(await ended(reader), "GET")
        assert answer.status == 503
        is_a_sentence(answer, FULL)
        for pair in (*old, new):
            await served(pair)
        assert rejected == ["503"]
        for _, other in (*old, new, (reader, writer)):
            await drop(other)


async def test_requests_under_way_stay_and_one_more_is_told_to_wait() -> None:
    """Where nobody is idle and all are of one client; when one is done there is room again."""
    held = Held(b"")
    rejected: list[str] = []
    limits = {"max_connections": 2, "rejected": rejected.append}
    async with serving(render=held, server=limits) as (server, _):
        pairs = [await raw(server) for _ in range(2)]
        for _, writer in pairs:
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            await held.wait_started()
        reader, writer = await raw(server)
        (answer,) = answers(await ended(reader), "GET")
        assert answer.status == 503
        is_a_sentence(answer, FULL)
        assert rejected == ["503"]
        held.go.set()
        for reader, _ in pairs:
            async with asyncio.timeout(PATIENCE):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        last = await idle(server)
        for _, other in (*pairs, (reader, writer), last):
            await drop(other)


async def test_slow_clients_do_not_keep_a_good_one_out() -> None:
    """Many connections on which requests come byte by byte; each scrape beside them is answered."""
    async with serving(server={"max_connections": 128}) as (server, client):
        hung_up = 0

        async def slow() -> None:
            nonlocal hung_up
            while True:
                reader, writer = await raw(server)
                try:
                    writer.write(BEGUN)
                    with contextlib.suppress(ConnectionError):
                        while not reader.at_eof():
                            writer.write(b"x")
                            with contextlib.suppress(TimeoutError):
                                async with asyncio.timeout(0.01):
                                    await reader.read(1000)
                    hung_up += 1
                finally:
                    writer.transport.abort()

        async with asyncio.TaskGroup() as tasks:
            crowd = [tasks.create_task(slow()) for _ in range(300)]
            for number in range(50):
                # On a connection that is kept, and on one that is new.
                headers = {"Connection": "close"} if number % 2 else {}
                async with client.get("/metrics", headers=headers) as response:
                    assert response.status == 200
            async with asyncio.timeout(PATIENCE):
                while hung_up < 300:  # noqa: ASYNC110  it is counted elsewhere
                    await asyncio.sleep(0.01)
            for task in crowd:
                task.cancel()


# Memory and descriptors, of a process


def peak(of: Program) -> int:
    """The most memory that it ever had, in bytes."""
    status = Path(f"/proc/{of.child.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+([0-9]+) kB", status)
    assert found
    return int(found[1]) * 1024


def descriptors(of: Program) -> int:
    """How many it has open."""
    return sum(1 for _ in Path(f"/proc/{of.child.pid}/fd").iterdir())


@pytest.fixture
async def exporter(tmp_path: Path) -> AsyncIterator[Program]:
    """An exporter in a process of its own, which has answered a scrape."""
    async with program(tmp_path / "log", "--qmp.socket", f"{tmp_path}/vm.sock") as running:
        await running.page()
        yield running


def address(of: Program) -> tuple[str, int]:
    """Where it serves."""
    host, _, port = of.url.removeprefix("http://").rpartition(":")
    return host, int(port)


@pytest.mark.parametrize("line", ["X: {}", "GET /{}"])
async def test_a_header_of_100_megabytes_costs_nothing(exporter: Program, line: str) -> None:
    """It is refused at its first kilobytes, and the rest is dropped as it comes."""
    before = peak(exporter)

    def send() -> bytes:
        with socket.create_connection(address(exporter), timeout=30) as sock:
            with contextlib.suppress(ConnectionError):
                if line.startswith("X"):
                    sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
                sock.sendall(line.format("").encode())
                for _ in range(100):
                    sock.sendall(b"x" * MIB)
            with contextlib.suppress(ConnectionError):
                return sock.recv(65536)
        return b""

    received = await asyncio.to_thread(send)
    if received:  # else it was hung up on, which it had the time to see
        (answer,) = answers(received, "GET")
        assert answer.status == (431 if line.startswith("X") else 414)
    await exporter.page()
    grown = peak(exporter) - before
    print(  # noqa: T201 - what was measured
        f"100 MB of {line[:3]!r}: {grown // 1024} KiB more"
    )
    assert grown < 10 * MIB


@pytest.mark.parametrize("begin", ["", "GET /metrics HTTP/1.1\r\nX: "])
async def test_ten_thousand_idle_connections_keep_nobody_out(
    exporter: Program, tmp_path: Path, begin: str
) -> None:
    """Few of them stay; scrapes while they come and after are answered, and memory is bounded."""
    before = peak(exporter), descriptors(exporter)
    host, port = address(exporter)
    slowest = 0.0
    async with (
        apart("apart.idlers", tmp_path / "idlers", *()) as idlers,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as keeper,
    ):
        coming = asyncio.create_task(
            idlers.ask("connect", host=host, port=port, number=10_000, begin=begin)
        )
        scrapes = 0
        while not coming.done() or scrapes < 5:
            began = time.monotonic()
            await exporter.page()  # on a new connection
            async with keeper.get(f"{exporter.url}/-/ready") as response:
                assert response.status == 200
            slowest = max(slowest, time.monotonic() - began)
            scrapes += 1
            await asyncio.sleep(0.01)  # the machine is for the others, too
        assert await coming == 10_000
        async with asyncio.timeout(PATIENCE):  # some may wait to be let in
            while not 0 < await idlers.ask("alive") <= 256:  # noqa: ASYNC110  another process
                await asyncio.sleep(0.05)
        page = await exporter.page()
        grown = peak(exporter) - before[0]
        held = descriptors(exporter) - before[1]
        code = "503" if begin else "none"
        rejected = page.value("qmp_exporter_http_rejected_total", code=code)
        assert rejected is not None
        assert rejected >= 10_000 - 256 - scrapes
    print(  # noqa: T201 - what was measured
        f"10 000 connections ({begin!r}): {grown // 1024} KiB and {held} descriptors more,"
        f" {scrapes} scrapes meanwhile, the slowest of them in {slowest:.3f} s"
    )
    assert held <= 256
    assert grown < 20 * MIB
