"""The clients of a VM's displays: connections and authenticated sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec


if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


MAX_KEYS: Final = 1024
"""Clients told apart for one protocol; QEMU itself admits fewer."""

SPICE_MAIN: Final = 1
"""Channel type of a SPICE session's main channel: spice/enums.h, SPICE_CHANNEL_MAIN."""


class Peer(msgspec.Struct, frozen=True, gc=False):
    """The connections that share one host and service, which are many on a unix socket.

    Attributes:
        open: connections.
        active: those of them that are authenticated.
        sessions: those of them that are a session; of SPICE only the main channels.
    """

    open: int = 0
    active: int = 0
    sessions: int = 0

    @property
    def ambiguous(self) -> bool:
        """Whether it cannot be told which kind of connection a disconnect closes."""
        return 0 < self.active < self.open or 0 < self.sessions < self.active

    @property
    def complete(self) -> bool:
        """Whether all of them are authenticated, so that it cannot be one of them that gets it."""
        return 0 < self.active == self.open


class Clients(msgspec.Struct, frozen=True):
    """The clients of one protocol, by host and service."""

    peers: Mapping[str, Peer] = {}

    @property
    def connections(self) -> int:
        """Open connections (VNC) or channels (SPICE)."""
        return sum(peer.open for peer in self.peers.values())

    @property
    def sessions(self) -> int:
        """Authenticated sessions."""
        return sum(peer.sessions for peer in self.peers.values())

    def full(self, key: str) -> bool:
        """Whether there is no room to tell one more client apart."""
        return len(self.peers) >= MAX_KEYS and key not in self.peers

    def connected(self, key: str) -> Clients:
        """Return the clients with one more connection."""
        peer = self.peers.get(key, Peer())
        return self._with(key, Peer(peer.open + 1, peer.active, peer.sessions))

    def initialized(self, key: str, *, session: bool) -> Clients:
        """Return the clients with one connection of ``key`` authenticated."""
        peer = self.peers.get(key, Peer())
        active = peer.active + 1
        return self._with(key, Peer(max(peer.open, active), active, peer.sessions + session))

    def disconnected(self, key: str) -> tuple[Clients, bool]:
        """Return the clients with one connection less, and whether it never was authenticated.

        Where both kinds share a key the one that was not is taken to have closed.
        """
        peer = self.peers.get(key)
        if peer is None:
            return self, False
        incomplete = peer.active < peer.open
        if incomplete:
            left = Peer(peer.open - 1, peer.active, peer.sessions)
        else:
            left = Peer(peer.open - 1, peer.active - 1, min(peer.sessions, peer.open - 1))
        return self._with(key, left), incomplete

    def _with(self, key: str, peer: Peer) -> Clients:
        peers = {**self.peers, key: peer}
        if not peer.open:
            del peers[key]
        return Clients(peers)


def clients(found: Iterable[tuple[str, bool]]) -> Clients:
    """Return the clients that a query lists, as pairs of key and whether it is a session.

    A query does not tell who is authenticated; that takes an instant, so all are taken to be.
    """
    peers: dict[str, Peer] = {}
    for key, session in found:
        peer = peers.get(key, Peer())
        if len(peers) < MAX_KEYS or key in peers:
            peers[key] = Peer(peer.open + 1, peer.active + 1, peer.sessions + session)
    return Clients(peers)


def corrected(known: Clients, found: Clients) -> Clients:
    """Return ``found`` with what ``known`` says of which connections are authenticated."""
    peers: dict[str, Peer] = {}
    for key, peer in found.peers.items():
        was = known.peers.get(key, peer)
        peers[key] = Peer(peer.open, min(was.active, peer.open), min(was.sessions, peer.sessions))
    return Clients(peers)
