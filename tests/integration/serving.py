"""A server of something harmless, and clients that do what they like."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from qmp_exporter.telemetry.body import Body, Piece
from qmp_exporter.web import Overview, Server, build, parse_address
from unit.web.samples import CALM


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web


BODY = b"qemu_up 1\n" * 100
TYPE = "text/plain; version=0.0.4; charset=utf-8"
LINKS = (("/metrics", "Metrics"),)
# Long enough that a test which waits for it has failed.
PATIENCE = 10.0


class Held:
    """A render that goes on only when it is told to."""

    def __init__(self, body: bytes = BODY) -> None:
        self.started = threading.Semaphore(0)
        self.go = threading.Event()
        self.body = body

    def __call__(self, _accept: str | None, _names: frozenset[str]) -> tuple[Body, str]:
        """Wait, in the thread of the server."""
        self.started.release()
        assert self.go.wait(PATIENCE)
        return (Piece(self.body),), TYPE

    async def wait_started(self) -> None:
        """Until one more render has begun."""
        assert await asyncio.to_thread(self.started.acquire, timeout=PATIENCE)


async def done() -> None:
    """A reload that is done at once."""


def application(**changes: Any) -> web.Application:
    """An application with something harmless for all that is not given."""
    settings: dict[str, Any] = {
        "render": lambda accept, names: ((Piece(BODY),), TYPE),  # noqa: ARG005
        "overview": lambda: Overview(version="1.2.3", now=1e6, rows=(CALM,), links=LINKS),
        "ready": lambda: None,
        "healthy": lambda: None,
        "config": lambda: "web:\n",
        "reload": done,
    }
    return build(**settings | changes)


@asynccontextmanager
async def serving(
    *,
    address: str = "127.0.0.1:0",
    server: dict[str, Any] | None = None,
    **changes: Any,
) -> AsyncIterator[tuple[Server, aiohttp.ClientSession]]:
    """A running server and a client of it that leaves answers as they came."""
    running = Server(application(**changes), [parse_address(address)], **server or {})
    await running.start()
    base = running.bound[0]
    connector = None
    if base.startswith("unix:"):
        connector = aiohttp.UnixConnector(base.removeprefix("unix:"))
        base = "http://unix"
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(
        base, connector=connector, timeout=timeout, auto_decompress=False
    ) as client:
        try:
            yield running, client
        finally:
            await running.stop(1.0)


async def raw(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which the test writes what it likes."""
    host, _, port = server.bound[0].removeprefix("http://").rpartition(":")
    return await asyncio.open_connection(host, int(port), limit=1024)


async def drop(writer: asyncio.StreamWriter) -> None:
    """Close a raw connection that may be broken already."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def answers(client: aiohttp.ClientSession, path: str) -> None:
    """Until the path is no longer refused for want of a place."""

    async def refused() -> bool:
        try:
            async with client.head(path) as response:
                return response.status == 503
        except aiohttp.ClientConnectionError:  # hung up on before we had written all
            return True

    async with asyncio.timeout(PATIENCE):
        while await refused():  # noqa: ASYNC110  only the server knows, and does not tell
            await asyncio.sleep(0.01)
