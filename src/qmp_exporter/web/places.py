"""The places for connections: how many there are, and who has to leave when all are taken."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import Callable


_PEER: Final = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid
_V4_IN_V6: Final = b"\0" * 10 + b"\xff" * 2
_V6_NETWORK: Final = 8
_PART: Final = 4


class Place:
    """A place that somebody has.

    Attributes:
        client: who it is, as of ``client``.
        since: when it last did something, in seconds of the loop.
        busy: whether a request is under way.
        served: whether a request was answered.
        leave: called to make it leave; it must not call back.
    """

    __slots__ = ("busy", "client", "leave", "served", "since")

    def __init__(self, client: bytes, since: float) -> None:
        self.client = client
        self.since = since
        self.busy = False
        self.served = False
        self.leave: Callable[[], None] = lambda: None


class Places:
    """So many places for all clients together.

    When all are taken and one more comes, an idle connection gives way: one of the client with the
    most places, rather one that never completed a request than one that did, rather the one that
    was idle for longer. So whoever opens connections without end pushes out its own, and a scraper
    finds a place. Nobody who has a quarter of all places gets one of somebody who has fewer. A
    request under way is dropped only for a client that has fewer places by two or more.

    Args:
        limit: how many.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: set[Place] = set()

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, client: bytes, now: float) -> Place | None:
        """Return a place for a client; none, if all are taken by requests under way."""
        while len(self._taken) >= self._limit:
            loser = self._loser(client)
            if loser is None:
                return None
            self.free(loser)
            loser.leave()
        place = Place(client, now)
        self._taken.add(place)
        return place

    def free(self, place: Place) -> None:
        """Give a place back; nothing where it was given back before."""
        self._taken.discard(place)

    def clear(self) -> None:
        """Make everybody leave."""
        for place in list(self._taken):
            self.free(place)
            place.leave()

    def _loser(self, client: bytes) -> Place | None:
        crowds = Counter(place.client for place in self._taken)
        crowds[client] += 1  # with the one that comes
        own = crowds[client]
        modest = own <= self._limit // _PART
        loser = min(
            (place for place in self._taken if modest or crowds[place.client] >= own),
            key=lambda place: (place.busy, -crowds[place.client], place.served, place.since),
            default=None,
        )
        if loser is None or (loser.busy and crowds[loser.client] <= own):
            return None
        return loser


def client(connection: socket.socket) -> bytes:
    """Return who is at the other end: an IPv4 address, an IPv6 network of 64 bits, or a user."""
    if connection.family == socket.AF_UNIX:
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        return b"user %d" % _PEER.unpack(peer)[1]
    host = connection.getpeername()[0].partition("%")[0]
    address = socket.inet_pton(connection.family, host)
    if connection.family == socket.AF_INET6 and address.startswith(_V4_IN_V6):
        return address[len(_V4_IN_V6) :]
    return address[:_V6_NETWORK]
