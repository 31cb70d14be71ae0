"""Answers over TLS: each is done when the client has it; one that does not read is dropped."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from integration.secured import PATIENCE, TLS, Authority, Secured, secured, until
from qmp_exporter.telemetry.body import Piece
from qmp_exporter.web import reply


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# Far more than the kernel takes for a client that does not read.
HUGE = bytes(range(256)) * (1 << 16)
REQUEST = "GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: {}\r\n\r\n"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority, and a certificate for the server in the folder of the test."""
    return Authority(tmp_path)


@pytest.mark.parametrize("before", [0, 1, 2, 3])
@pytest.mark.parametrize("path", ["/metrics", "/-/ready", "/nope"])
async def test_each_answer_has_an_end(
    path: str, before: int, authority: Authority, tmp_path: Path
) -> None:
    """However many came before it on the connection: then the client is hung up on, if it asked."""
    async with secured(tmp_path, TLS) as running:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", running.port, ssl=authority.client(), server_hostname="localhost"
        )
        async with asyncio.timeout(PATIENCE):
            for number in range(before + 1):
                kept = "close" if number == before else "keep-alive"
                writer.write(REQUEST.format(path, kept).encode())
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
            assert await reader.read() == b""
        writer.close()


@asynccontextmanager
async def asked(
    folder: Path, authority: Authority
) -> AsyncIterator[tuple[Secured, asyncio.StreamReader]]:
    """Ask a server for a large answer, and read the head of it."""
    async with secured(folder, TLS, render=lambda *_: ((Piece(HUGE),), "text/plain")) as running:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", running.port, ssl=authority.client(), server_hostname="localhost"
        )
        writer.write(REQUEST.format("/metrics", "keep-alive").encode())
        async with asyncio.timeout(PATIENCE):
            await reader.readuntil(b"\r\n\r\n")
        yield running, reader
        writer.close()


async def test_who_reads_slowly_gets_all(authority: Authority, tmp_path: Path) -> None:
    """A large answer comes as it is, in whatever pieces it was sent."""
    async with asked(tmp_path, authority) as (running, reader), asyncio.timeout(PATIENCE):
        assert [place.busy for place in running.server._places._taken] == [True]
        assert await reader.readexactly(len(HUGE)) == HUGE
        await until(lambda: not any(place.busy for place in running.server._places._taken))


async def test_who_does_not_read_is_dropped(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time-out, and what it did not read is not kept for it."""
    monkeypatch.setattr(reply, "SEND_TIMEOUT", 0.5)
    async with asked(tmp_path, authority) as (running, reader), asyncio.timeout(PATIENCE):
        await until(lambda: not len(running.server._places))
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(len(HUGE))
