"""A monitor to watch, and a socket at which monitors come by themselves."""

from __future__ import annotations

import msgspec


class Target(msgspec.Struct, frozen=True):
    """A monitor to watch.

    Attributes:
        address: the path of a unix socket, or ``host:port``; of a QEMU that dialled in, the path
            of our socket, ``#`` and what tells it from the others there.
        tcp: whether ``address`` is ``host:port``.
        name: the VM's name, if the configuration gives one.
        named: whether the address was given without a wildcard, so that it stays when QEMU ends.
        labels: further labels of the VM, as pairs.
        migration_events: whether QEMU may be told to send MIGRATION events; None for what holds
            for all.
        dialled_in: whether QEMU dialled us.
    """

    address: str
    tcp: bool = False
    name: str = ""
    named: bool = True
    labels: tuple[tuple[str, str], ...] = ()
    migration_events: bool | None = None
    dialled_in: bool = False

    @property
    def path(self) -> str:
        """The address without what tells the QEMUs at one socket apart."""
        return self.address.rpartition("#")[0] if self.dialled_in else self.address

    @property
    def stem(self) -> str:
        """Name of a VM that was never reached: the socket's without directory and suffix."""
        if self.tcp:
            return self.address
        last = self.path.rstrip("/").rpartition("/")[2]
        return last.rpartition(".")[0] or last or self.path


class Listening(msgspec.Struct, frozen=True):
    """A unix socket at which QEMU dials in.

    Attributes:
        path: absolute.
        mode: permissions of the socket.
        group: that owns the socket, a name or a number; empty for the exporter's own.
        users: names or numbers of those who may dial in, besides root and the exporter's own.
        labels: further labels of the VMs, as pairs.
        migration_events: as of a target.
    """

    path: str
    mode: int = 0o600
    group: str = ""
    users: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    migration_events: bool | None = None
