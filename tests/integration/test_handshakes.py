"""Those who connect and do not go on: they are bounded, counted, and cost nobody else anything."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from integration.secured import BODY, MUTUAL, PATIENCE, TLS, Authority, secured, until
from qmp_exporter.telemetry.body import Body, Piece
from qmp_exporter.web import server


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from integration.secured import Secured

OK = (200, BODY.decode())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority, and a certificate for the server in the folder of the test."""
    return Authority(tmp_path)


@contextlib.asynccontextmanager
async def silent(running: Secured, number: int) -> AsyncIterator[list[socket.socket]]:
    """So many clients that connect and say nothing."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", running.port), PATIENCE))
            for _ in range(number)
        ]


async def closed(client: socket.socket) -> None:
    """Until the server has hung up, without a word."""
    loop = asyncio.get_running_loop()
    client.settimeout(0)
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(loop.sock_recv(client, 100), PATIENCE) == b""


def under_way(running: Secured) -> int:
    """How many handshakes there are."""
    return len(running.server._handshakes)


async def test_handshakes_count_as_connections(authority: Authority, tmp_path: Path) -> None:
    """Of those who say nothing, one has to go when all places are taken and somebody comes.

    That is counted.
    """
    async with secured(tmp_path, TLS, max_connections=3) as running, silent(running, 3) as clients:
        await until(lambda: under_way(running) == 3)
        assert await running.get(authority.client()) == OK
        await closed(clients[0])
        assert running.rejected == {"none": 1}
        await until(lambda: under_way(running) == 2)
        async with silent(running, 4):
            await until(lambda: under_way(running) == 3)
        assert len(running.server._places) <= 3


async def test_a_handshake_takes_only_so_long(authority: Authority, tmp_path: Path) -> None:
    """Who says nothing, or begins and does not go on, is hung up on; others are served."""
    with mock.patch.object(server, "TIMEOUT", 2.0):
        async with secured(tmp_path, TLS) as running, silent(running, 3) as clients:
            clients[0].sendall(b"\x16")
            clients[1].sendall(b"\x16\x03\x01\x02\x00")
            assert await running.get(authority.client()) == OK
            for client in clients:
                await closed(client)
            await running.until_failed(timeout=3)


async def test_a_connection_with_tls_goes_idle_and_is_not_cut(
    authority: Authority, tmp_path: Path
) -> None:
    """The time limit is one of the handshake alone."""
    with mock.patch.object(server, "TIMEOUT", 1.0):
        async with secured(tmp_path, TLS) as running:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", running.port, ssl=authority.client(), server_hostname="localhost"
            )
            await asyncio.sleep(1.5)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert BODY in await asyncio.wait_for(reader.read(), PATIENCE)
            writer.close()


@pytest.mark.parametrize(
    "said",
    [b"\0" * 1000, b"\xff" * 70_000, b"SSH-2.0-x\r\n", b"\x16\x03\x03\xff\xff" + b"a" * 9000],
)
async def test_garbage_is_counted_and_not_logged(
    said: bytes, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever scans a port fills no log with it."""
    assert authority
    with caplog.at_level(logging.INFO):
        async with secured(tmp_path, MUTUAL) as running, silent(running, 5) as clients:
            for client in clients:
                with contextlib.suppress(ConnectionError):
                    client.sendall(said)
            for client in clients:
                client.settimeout(0)
                with contextlib.suppress(ConnectionError):
                    loop = asyncio.get_running_loop()
                    while await asyncio.wait_for(loop.sock_recv(client, 9000), PATIENCE):
                        pass
            await until(lambda: running.failed.total() == 5, lambda: running.failed)
            assert set(running.failed) <= {"protocol", "closed"}
    assert caplog.records == []


async def test_a_failed_handshake_can_be_looked_into(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With the log at debug."""
    with caplog.at_level(logging.DEBUG, "qmp_exporter"):
        async with secured(tmp_path, MUTUAL) as running:
            with pytest.raises(OSError):  # noqa: PT011 - which one, depends on who is quicker
                await running.get(authority.client())
            await running.until_failed(certificate=1)
    assert "peer did not return a certificate" in caplog.text


async def test_stopping_ends_handshakes(authority: Authority, tmp_path: Path) -> None:
    """Nobody has to wait for a client that says nothing."""
    assert authority
    async with secured(tmp_path, TLS) as running, silent(running, 2) as clients:
        await until(lambda: under_way(running) == 2)
        async with asyncio.timeout(PATIENCE):
            await running.server.stop()
        for client in clients:
            await closed(client)
        assert running.failed == {}


async def test_stopping_lets_an_answer_go_out(authority: Authority, tmp_path: Path) -> None:
    """All of it, to a client that takes its time, and TLS says good-bye."""
    began, go = threading.Event(), threading.Event()
    body = b"a" * 3_000_000

    def render(_accept: str | None, _names: frozenset[str]) -> tuple[Body, str]:
        began.set()
        assert go.wait(PATIENCE)
        return (Piece(body),), "text/plain"

    def read() -> bytes:
        raw = socket.create_connection(("127.0.0.1", running.port), PATIENCE)
        with client.wrap_socket(raw, server_hostname="localhost") as found:
            found.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            return b"".join(iter(lambda: found.recv(20_000), b""))

    client = authority.client()
    async with secured(tmp_path, TLS, render=render) as running:
        asked = asyncio.create_task(asyncio.to_thread(read))
        assert await asyncio.to_thread(began.wait, PATIENCE)
        stopping = asyncio.create_task(running.server.stop())
        go.set()
        assert (await asked).partition(b"\r\n\r\n")[2] == body
        await stopping


async def test_many_at_once_are_all_served(authority: Authority, tmp_path: Path) -> None:
    """More than one turn of the loop accepts, and with a certificate each."""
    client = authority.client(authority.ca.issue_cert("a.example"))
    async with secured(tmp_path, MUTUAL) as running:
        pages = await asyncio.gather(*(running.get(client, "/-/healthy") for _ in range(150)))
        assert [status for status, _ in pages] == [200] * 150
        assert running.failed == {}


async def test_a_fault_of_ours_ends_one_connection(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And is told in the log, not to the client."""
    async with secured(tmp_path, TLS) as running:
        with mock.patch.object(running.handshakes, "_terms", side_effect=RuntimeError("of ours")):
            with pytest.raises(OSError):  # noqa: PT011 - which one, depends on who is quicker
                await running.get(authority.client())
            await until(lambda: "RuntimeError: of ours" in caplog.text)
        assert await running.get(authority.client()) == OK
