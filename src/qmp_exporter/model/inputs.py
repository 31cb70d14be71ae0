"""What a session tells the model: events, replies, and what becomes of the connection."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from qmp_exporter.catalog.states import LostCause, TargetState
from qmp_exporter.model.event import Event
from qmp_exporter.model.replies import ReplyValue


class Ask(StrEnum):
    """The commands that the model may ask a session for: all of them only read."""

    STATUS = "query-status"
    BLOCK = "query-block"
    MIGRATE = "query-migrate"
    VNC = "query-vnc-servers"
    SPICE = "query-spice"
    JOBS = "query-jobs"
    BLOCKSTATS = "query-blockstats"


class Identity(msgspec.Struct, frozen=True):
    """Who answers at a monitor.

    Attributes:
        name: of ``query-name``; empty if QEMU was given none.
        uuid: of ``query-uuid``; empty if QEMU was given none.
        qemu_version: of the greeting, such as ``7.2.22``.
        arch: of ``query-target``, such as ``x86_64``.
        monitor: path or address of the monitor.
        pid: of the process that made the socket, where that can be read.
        started: when that process started, in Unix seconds, where that can be read.
        labels: that the configuration gives the VM, as pairs.
    """

    name: str = ""
    uuid: str = ""
    qemu_version: str = ""
    arch: str = ""
    monitor: str = ""
    pid: int | None = None
    started: float | None = None
    labels: tuple[tuple[str, str], ...] = ()

    def same_process(self, other: Identity) -> bool:
        """Whether both are one QEMU process; taken for granted where the pids are not known."""
        mine, others = (self.pid, self.started), (other.pid, other.started)
        return None in (self.pid, other.pid) or mine == others

    def completed(self, known: Identity | None) -> Identity:
        """Return this with what was not told in time, but is known of the same process."""
        if known is None or not self.same_process(known):
            return self
        return msgspec.structs.replace(
            self,
            name=self.name or known.name,
            uuid=self.uuid or known.uuid,
            arch=self.arch or known.arch,
        )


class Link(msgspec.Struct, frozen=True):
    """What became of the connection to a monitor.

    Attributes:
        state: what is known of the monitor from now on.
        time: Unix seconds.
        now: monotonic seconds.
        identity: who answered, with CONNECTED.
        lost: how an established connection ended, if one did.
        dialled: Unix seconds at which the connection was begun, with CONNECTED.
        read: whether the state of the VM was read now.
    """

    state: TargetState
    time: float
    now: float
    identity: Identity | None = None
    lost: LostCause | None = None
    dialled: float | None = None
    read: bool = False


class Reply(msgspec.Struct, frozen=True):
    """The answer to a command.

    Attributes:
        command: its name.
        value: the typed reply; none if it failed or did not come in time.
        time: Unix seconds.
        now: monotonic seconds.
    """

    command: str
    value: ReplyValue | None
    time: float
    now: float


Input: TypeAlias = Event | Reply | Link
