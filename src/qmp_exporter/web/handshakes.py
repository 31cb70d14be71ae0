"""Listeners that speak TLS: each connection begins with what holds when it comes.

asyncio's own keep one context for ever, count no handshakes, and hang up on who fails without a
word. What is done here is what they do: accept, and hand the socket to the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakKeyDictionary

import msgspec

from .address import BACKLOG
from .peer import Peer, names


if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


log = logging.getLogger(__name__)

TIMEOUT: Final = 10.0
"""Seconds that a handshake may take."""

REASONS: Final = ("certificate", "refused", "timeout", "closed", "protocol")
"""Why handshakes fail: the client's certificate will not do, ours will not do for the client, it is
too slow, it has gone, or it does not speak the TLS that is wanted, if any."""

_GOODBYE: Final = 2.0  # seconds to end a connection as TLS has it
_POLL: Final = 0.01  # seconds between two looks at connections that are to end
_EXHAUSTED: Final = 1.0  # seconds to wait when nothing can be accepted
_MISDIRECTED: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Connection: close\r\n\r\nThis is HTTPS: the address begins with https://\n"
)


class Terms(msgspec.Struct, frozen=True):
    """What holds for a connection that begins.

    Attributes:
        context: with the certificate.
        allowed: names of which the client's certificate must have one; None for any.
    """

    context: ssl.SSLContext
    allowed: frozenset[str] | None = None


class Handshakes:
    """Handshakes over all listeners.

    Args:
        terms: returns what holds now.
        failed: called with the reason of each that fails, one of ``REASONS``.
    """

    def __init__(
        self,
        terms: Callable[[], Terms],
        failed: Callable[[str], None] = lambda reason: None,  # noqa: ARG005
    ) -> None:
        self._terms = terms
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()
        self._made: WeakKeyDictionary[asyncio.WriteTransport, socket.socket] = WeakKeyDictionary()

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._tasks)

    def begin(self, sock: socket.socket, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        """Shake hands with who has connected, and hand the connection over."""
        task = asyncio.create_task(self._shake(sock, protocol))
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._end(task, sock))

    def stop(self) -> None:
        """Give up those that are under way."""
        for task in self._tasks:
            task.cancel()

    async def end(self, grace: float) -> None:
        """Wait until all connections have ended, and drop those that do not.

        Args:
            grace: seconds for what is still to be sent, and for the good-bye that TLS has.
        """
        until = monotonic() + grace
        while left := [made for made, sock in self._made.items() if sock.fileno() != -1]:
            if monotonic() >= until:
                for transport in left:
                    transport.abort()
                await asyncio.sleep(0)
                return
            await asyncio.sleep(_POLL)

    async def _shake(
        self, sock: socket.socket, protocol: Callable[[], asyncio.BaseProtocol]
    ) -> None:
        try:
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                protocol,
                sock,
                ssl=cast("ssl.SSLContext", _Handshake(sock, self._terms())),
                ssl_handshake_timeout=TIMEOUT,
                ssl_shutdown_timeout=_GOODBYE,
            )
            self._made[transport] = sock
        except OSError as err:
            reason = _reason(err)
            self._failed(reason)
            log.debug("no TLS with a client: %s: %s", reason, err)

    def _end(self, task: asyncio.Task[None], sock: socket.socket) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("a fault of the exporter", exc_info=error)
        if error is not None or task.cancelled():
            sock.close()  # it may never have got to the loop


class Listener:
    """Accepts on a socket until it is closed.

    Args:
        sock: listens.
        handshakes: of who connects.
        protocol: makes what speaks after that.
        full: whether one more is to be turned away.
    """

    def __init__(
        self,
        sock: socket.socket,
        handshakes: Handshakes,
        protocol: Callable[[], asyncio.BaseProtocol],
        full: Callable[[], bool],
    ) -> None:
        self._sock = sock
        self._handshakes = handshakes
        self._protocol = protocol
        self._full = full
        self._loop = asyncio.get_running_loop()
        self._later: asyncio.TimerHandle | None = None
        sock.settimeout(0)
        self._open()

    def close(self) -> None:
        """Accept nobody any more, and give up the handshakes that are under way."""
        if self._later is not None:
            self._later.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()
        self._handshakes.stop()

    def _open(self) -> None:
        self._later = None
        self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        for _ in range(BACKLOG):
            try:
                sock, _where = self._sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as err:  # no file descriptors or memory: who waits is served later
                log.warning("cannot accept a connection: %s", err.strerror)
                self._loop.remove_reader(self._sock)
                self._later = self._loop.call_later(_EXHAUSTED, self._open)
                return
            if self._full():
                sock.close()
                continue
            sock.settimeout(0)
            self._handshakes.begin(sock, self._protocol)


class _Handshake:
    """One handshake; to asyncio, a context that makes one connection.

    asyncio asks a context for no more than ``wrap_bio``, and on failure leaves unsent what OpenSSL
    has to say to the client: that its certificate has expired, for one.
    """

    def __init__(self, sock: socket.socket, terms: Terms) -> None:
        self._sock = sock
        self._terms = terms
        self._outgoing = ssl.MemoryBIO()

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, **options: Any
    ) -> ssl.SSLObject:
        """Return the connection."""
        self._outgoing = outgoing
        peer = self._terms.context.wrap_bio(incoming, outgoing, **options)
        assert isinstance(peer, Peer)  # noqa: S101 - so the context was made
        peer.allowed = self._allowed
        peer.failed = self._say
        return peer

    def _allowed(self, certificate: Any) -> bool:
        allowed = self._terms.allowed
        return allowed is None or not allowed.isdisjoint(names(certificate))

    def _say(self, err: ssl.SSLError) -> None:
        plain = getattr(err, "reason", "") == "HTTP_REQUEST"  # of an error of ours there is none
        said = _MISDIRECTED if plain else self._outgoing.read()
        with contextlib.suppress(OSError):
            self._sock.send(said)


def _reason(err: OSError) -> str:
    match err:
        case ssl.SSLCertVerificationError():
            return "certificate"
        case ssl.SSLError(reason="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
            return "certificate"
        case ssl.SSLError():
            return "refused" if "_ALERT_" in (err.reason or "") else "protocol"
        case ConnectionAbortedError():
            return "timeout"
    return "closed"
