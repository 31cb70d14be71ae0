"""How a collector of tests fails, and the doors at which it does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import grpc
import msgspec


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


MIDWAY = 100
"""Bytes of a part of a request after which it is cut."""

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.UNIMPLEMENTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}
"""Statuses of HTTP as gRPC has them."""


class Fault(msgspec.Struct, frozen=True):
    """A way to fail; ``kind`` says which, and the rest belongs to some of them."""

    kind: Literal[
        "none", "refuse", "black-hole", "cut", "hang", "slow", "status", "rejecting", "endless"
    ]
    status: int = 200
    retry_after: int | None = None
    seconds: float = 0.0
    rejected: int = 0
    location: str = ""


ANSWERED = {"none", "slow", "status", "rejecting"}
"""The kinds with which each request gets one answer."""

NONE = Fault("none")
REFUSE = Fault("refuse")
"""Nobody listens at the port."""
BLACK_HOLE = Fault("black-hole")
"""Connections are accepted and read from, and nothing is ever sent."""
CUT = Fault("cut")
"""Connections are reset in the middle of a request."""
HANG = Fault("hang")
"""Requests are taken and kept, and never answered."""


ENDLESS = Fault("endless")
"""Requests are taken; over HTTP, the answer has no end."""


def status(code: int, retry_after: int | None = None, location: str = "") -> Fault:
    """Answer with a status of HTTP, or what gRPC has for it, and keep nothing."""
    return Fault("status", code, retry_after, location=location)


def slow(seconds: float) -> Fault:
    """Answer well, so many seconds late."""
    return Fault("slow", seconds=seconds)


def rejecting(number: int) -> Fault:
    """Take a request but for so many items of it, which is called a partial success."""
    return Fault("rejecting", rejected=number)


class Door:
    """Where clients connect: hands on what they send to the server behind, or fails."""

    def __init__(self, fault: Callable[[], Fault], tell: Callable[[], None]) -> None:
        self._fault = fault
        self._tell = tell
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.port = self.behind = 0
        self.connections = self.size = 0

    @property
    def open(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    async def start(self, port: int = 0) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def reset(self) -> None:
        """End all connections."""
        for task, writer in self._clients.items():
            task.cancel()
            writer.transport.abort()

    async def gone(self) -> None:
        """Wait until all connections have ended."""
        for _ in range(5):  # those that were accepted at last begin
            await asyncio.sleep(0)
        self.reset()
        await asyncio.gather(*self._clients, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._clients[task] = writer
        task.add_done_callback(self._ended)
        self.connections += 1
        self._tell()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._clients.pop(task).transport.abort()
        if not task.cancelled():
            task.exception()  # is of a connection that was lost

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind = self._fault().kind
        if kind == "black-hole":
            while await reader.read(1 << 16):
                pass
            return
        there, back = await asyncio.open_connection("127.0.0.1", self.behind)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(there, writer))
                async for data in _parts(reader):
                    self.size += len(data)
                    left = MIDWAY if kind == "cut" else len(data)
                    back.write(data[:left])
                    await back.drain()
                    if len(data) > left:
                        raise ConnectionAbortedError
                back.write_eof()
        finally:
            back.transport.abort()


async def _parts(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while data := await reader.read(1 << 16):
        yield data


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async for data in _parts(reader):
        writer.write(data)
        await writer.drain()
    writer.close()
