"""The listeners: from addresses to answered requests, and back to nothing within a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from typing import TYPE_CHECKING, Any

from .address import Address, UnixAddress, bind, parse_address, remove_dead, url
from .connection import NO_PLACE, Connection
from .handshakes import TIMEOUT
from .library import web
from .places import Places, client
from .reply import refusal


if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from .handshakes import Handshakes
    from .places import Place


__all__ = ["Server", "parse_address"]

# Seconds that a TLS connection may take to say goodbye.
_GOODBYE = 1.0
# Of the time to stop, seconds kept for those who did not finish in time.
_ABORT = 0.5
# Where there is nothing to accept a connection with: seconds until there may be.
_PAUSE = 0.5
# Connections to take in one turn of the loop.
_AT_ONCE = 16
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_FULL = refusal(NO_PLACE)


class Server:
    """Serves an application on any number of addresses, in the running loop, once.

    Args:
        app: what ``build`` made.
        addresses: where to listen; all of them or none.
        max_connections: open at a time over all addresses, so that nobody can use up the file
            descriptors that the monitors need; ``Places`` says who gives way to one more.
        rejected: called with the status code of each request turned away below the application, and
            with ``none`` for each idle connection that had to give way.
        tls: secures each connection; None for plain HTTP.

    Attributes:
        bound: the addresses really bound, as URLs or ``unix:PATH``; empty before ``start``.
    """

    def __init__(
        self,
        app: web.Application,
        addresses: Sequence[Address],
        *,
        max_connections: int = 256,
        rejected: Callable[[str], None] = lambda code: None,  # noqa: ARG005
        tls: Handshakes | None = None,
    ) -> None:
        self.bound: tuple[str, ...] = ()
        self._addresses = tuple(addresses)
        self._places = Places(max_connections)
        self._rejected = rejected
        self._tls = tls
        self._sockets: list[socket.socket] = []
        self._paused: dict[socket.socket, asyncio.TimerHandle] = {}
        self._handshakes: set[asyncio.Task[None]] = set()
        self._app = app
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=_ABORT / 4)

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
        except BaseException:
            await self.stop()
            raise
        for sock in self._sockets:
            sock.setblocking(False)  # noqa: FBT003 - the standard library's
            self._listen(sock)

    async def stop(self, timeout: float = 5.0) -> None:  # noqa: ASYNC109  it is a promise
        """Close the listeners, let requests under way finish, drop them after the time-out.

        Args:
            timeout: seconds that all of it may take.
        """
        for sock in self._sockets:
            asyncio.get_running_loop().remove_reader(sock)
            if sock in self._paused:
                self._paused.pop(sock).cancel()
            sock.close()
        self._sockets.clear()
        for address in self._addresses:
            if isinstance(address, UnixAddress):
                with contextlib.suppress(OSError):  # a file left behind must not keep us here
                    remove_dead(address.path)
        if handshakes := tuple(self._handshakes):
            _, late = await asyncio.wait(handshakes, timeout=_ABORT / 4)
            for handshake in late:
                handshake.cancel()
        if self._runner.server is not None:
            await asyncio.sleep(0)  # what has arrived becomes a request before the idle are closed
            self._runner.server.pre_shutdown()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout - _ABORT):
                    await self._app.shutdown()  # streams without end get to know of theirs
                    await self._runner.server.shutdown(timeout)
        await self._runner.cleanup()
        self._places.clear()
        if self._tls is not None:
            await self._tls.end(_ABORT / 4)
        self.bound = ()

    @property
    def _scheme(self) -> str:
        return "http" if self._tls is None else "https"

    # asyncio's own sock_accept loses a connection, and logs an error, where it is cancelled.

    def _listen(self, sock: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(sock, self._accept, sock)

    def _accept(self, sock: socket.socket) -> None:
        """Take some of the connections that wait; those who are in have their turn, too."""
        loop = asyncio.get_running_loop()
        for _ in range(_AT_ONCE):
            try:
                connection, _ = sock.accept()
            except OSError as error:  # most often there is none
                if error.errno in _EXHAUSTED:
                    loop.remove_reader(sock)
                    self._paused[sock] = loop.call_later(_PAUSE, self._resume, sock)
                return
            connection.setblocking(False)  # noqa: FBT003 - the standard library's
            self._take(connection, loop.time())

    def _resume(self, sock: socket.socket) -> None:
        del self._paused[sock]
        self._listen(sock)

    def _take(self, connection: socket.socket, now: float) -> None:
        try:
            place = self._places.take(client(connection), now)
        except OSError:  # it has gone again
            connection.close()
            return
        if place is None:
            self._rejected("503")
            with contextlib.suppress(OSError):
                if self._tls is None:
                    connection.send(_FULL)
            connection.close()
            return
        task = asyncio.create_task(self._welcome(connection, place))

        def leave() -> None:
            self._rejected("none")
            task.cancel()

        place.leave = leave
        self._handshakes.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._handshakes.discard(task)
            error = None if task.cancelled() else task.exception()
            if task.cancelled() or error is not None:  # no TLS, or no time for it
                connection.close()
                self._places.free(place)
            if error is not None and self._tls is not None:
                self._tls.failed(error)

        task.add_done_callback(done)

    async def _welcome(self, connection: socket.socket, place: Place) -> None:
        """Make a connection of a socket, with TLS where that is wanted."""
        loop, server = asyncio.get_running_loop(), self._runner.server
        assert server is not None  # noqa: S101 - it serves
        secured: dict[str, Any] = {}
        if self._tls is not None:
            secured = {
                "ssl": self._tls.begin(connection),
                "ssl_handshake_timeout": TIMEOUT,
                "ssl_shutdown_timeout": _GOODBYE,
            }
        transport, _ = await loop.connect_accepted_socket(
            lambda: Connection(
                server, place, left=self._places.free, rejected=self._rejected, loop=loop
            ),
            connection,
            **secured,
        )
        if self._tls is not None:
            self._tls.made(transport, connection)
