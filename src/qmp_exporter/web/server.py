"""The listeners: from addresses to answered requests, and back to nothing within a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from .address import BACKLOG, Address, UnixAddress, bind, parse_address, remove_dead, url
from .handshakes import Handshakes, Listener


if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence


__all__ = ["Server", "parse_address"]

# Seconds without a request after which a connection is closed, the first one included. Longer
# than a common scrape interval, so that Prometheus keeps its connection.
KEEPALIVE = 75.0
# What one connection can make us hold before its request is complete: at most 256 KiB.
_LINE = 8190
_FIELDS = 32
_READ_BUFFER = 65536
# Of the time to stop, seconds kept for those who did not finish in time.
_ABORT = 0.5


class Server:
    """Serves an application on any number of addresses, in the running loop, once.

    Args:
        app: what ``build`` made.
        addresses: where to listen; all of them or none.
        max_connections: open at a time over all addresses; one more is answered 503 and closed,
            so that nobody can use up the file descriptors that the monitors need.
        handshakes: of TLS; None for plain HTTP. One more than may be open is closed.
        rejected: called with the status code of each connection turned away.

    Attributes:
        bound: the addresses really bound, as URLs or ``unix:PATH``; empty before ``start``.
    """

    def __init__(
        self,
        app: web.Application,
        addresses: Sequence[Address],
        *,
        max_connections: int = 256,
        handshakes: Handshakes | None = None,
        rejected: Callable[[str], None] = lambda code: None,  # noqa: ARG005
    ) -> None:
        self.bound: tuple[str, ...] = ()
        self._addresses = tuple(addresses)
        self._max_connections = max_connections
        self._handshakes = handshakes
        self._rejected = rejected
        self._sockets: list[socket.socket] = []
        self._listeners: list[asyncio.Server | Listener] = []
        self._runner = web.AppRunner(
            app,
            handle_signals=False,
            access_log=None,
            logger=_Log(logging.getLogger(__name__), {}),
            keepalive_timeout=KEEPALIVE,
            lingering_time=0,
            max_line_size=_LINE,
            max_field_size=_LINE,
            max_headers=_FIELDS,
            read_bufsize=_READ_BUFFER,
            shutdown_timeout=_ABORT / 4,
        )

    async def bind(self) -> None:
        """Bind every address; nobody is served yet.

        Raises:
            ListenError: an address cannot be bound; none is left bound then.
        """
        try:
            for address in self._addresses:
                self._sockets += await bind(address)
        except BaseException:
            await self.stop()
            raise
        self.bound = tuple(url(sock, self._scheme) for sock in self._sockets)

    async def start(self) -> None:
        """Serve; bind first, if that was not done.

        Raises:
            ListenError: an address cannot be bound; none is left bound then.
        """
        if not self._sockets:
            await self.bind()
        try:
            await self._runner.setup()
            while self._sockets:
                self._listeners.append(await self._listen(self._sockets[0]))
                self._sockets.pop(0)
        except BaseException:
            await self.stop()
            raise

    async def stop(self, timeout: float = 5.0) -> None:  # noqa: ASYNC109  it is a promise
        """Close the listeners, let requests under way finish, drop them after the time-out.

        Args:
            timeout: seconds that all of it may take.
        """
        for listener in self._listeners:
            listener.close()
        for sock in self._sockets:
            sock.close()
        self._listeners.clear()
        self._sockets.clear()
        for address in self._addresses:
            if isinstance(address, UnixAddress):
                with contextlib.suppress(OSError):  # a file left behind must not keep us here
                    remove_dead(address.path)
        if self._runner.server is not None:
            await asyncio.sleep(0)  # what has arrived becomes a request before the idle are closed
            self._runner.server.pre_shutdown()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout - _ABORT):
                    await self._runner.server.shutdown(timeout)
        await self._runner.cleanup()
        if self._handshakes is not None:
            await self._handshakes.end(_ABORT / 2)
        self.bound = ()

    @property
    def _scheme(self) -> str:
        return "http" if self._handshakes is None else "https"

    async def _listen(self, sock: socket.socket) -> asyncio.Server | Listener:
        if self._handshakes is not None:
            return Listener(sock, self._handshakes, self._protocol, self._turns_away)
        loop = asyncio.get_running_loop()
        return await loop.create_server(self._protocol, sock=sock, backlog=BACKLOG)

    def _turns_away(self) -> bool:
        """Whether a connection that has come is one too many, handshakes included."""
        server, handshakes = self._runner.server, self._handshakes
        assert handshakes is not None  # noqa: S101 - nobody else asks
        if server and len(server.connections) + len(handshakes) < self._max_connections:
            return False
        self._rejected("503")
        return True

    def _protocol(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        if server is None or len(server.connections) >= self._max_connections:
            return _Refusal(self._rejected)
        return server()


class _Refusal(asyncio.Protocol):
    """Says 503 to whoever connects, whatever they want, and hangs up."""

    def __init__(self, rejected: Callable[[str], None]) -> None:
        self._rejected = rejected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._rejected("503")
        if isinstance(transport, asyncio.Transport):
            transport.write(b"HTTP/1.1 503 Service Unavailable\r\n")
            transport.write(b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        transport.close()


class _Log(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log, with malformed requests at debug: they are the doing of the client."""

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        error = kwargs.get("exc_info")
        if isinstance(error, HttpProcessingError):
            self.debug("malformed request: %s", error.message)
        else:
            super().exception(msg, *args, **kwargs)
