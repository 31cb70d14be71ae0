"""How connections are secured: each by what holds when it comes.

And how those that are not end: counted, and with the word of TLS that says why.
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

_POLL: Final = 0.01  # seconds between two looks at connections that are to end
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
        counted: called with the reason of each that fails, one of ``REASONS``.
    """

    def __init__(
        self,
        terms: Callable[[], Terms],
        counted: Callable[[str], None] = lambda reason: None,  # noqa: ARG005
    ) -> None:
        self._terms = terms
        self._counted = counted
        self._made: WeakKeyDictionary[asyncio.WriteTransport, socket.socket] = WeakKeyDictionary()

    def begin(self, sock: socket.socket) -> ssl.SSLContext:
        """Return what secures one connection, as asyncio takes it."""
        return cast("ssl.SSLContext", _Handshake(sock, self._terms()))

    def failed(self, error: BaseException) -> None:
        """Take note of a connection that was not made."""
        if isinstance(error, OSError):
            reason = _reason(error)
            self._counted(reason)
            log.debug("no TLS with a client: %s: %s", reason, error)
        else:
            log.error("a fault of the exporter", exc_info=error)

    def made(self, transport: asyncio.WriteTransport, sock: socket.socket) -> None:
        """Take note of a connection."""
        self._made[transport] = sock

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
