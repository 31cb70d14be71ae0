"""What an input meant for a VM: the facts that sinks count, time and show."""

from __future__ import annotations

import msgspec

from qmp_exporter.catalog.states import (
    ExitCause,
    LostCause,
    Protocol,
    Role,
    StopCause,
)


class Change(msgspec.Struct, frozen=True, gc=False):
    """Base of the changes."""


class Connected(Change, frozen=True):
    """A session was established and its state read.

    Attributes:
        fresh: whether another process answers than before.
    """

    fresh: bool


class Disconnected(Change, frozen=True):
    """An established session ended."""

    reason: LostCause


class Exited(Change, frozen=True):
    """The QEMU process is known to be gone."""

    cause: ExitCause


class Stopped(Change, frozen=True):
    """A STOP got its cause.

    Attributes:
        cause: why the machine was stopped.
        time: Unix seconds, of the STOP.
    """

    cause: StopCause
    time: float


class Rebooted(Change, frozen=True):
    """The first RESET of a burst."""

    guest: bool | None


class Suspended(Change, frozen=True):
    """The guest went to sleep; ``state`` is ``memory`` or ``disk``."""

    state: str


class MigrationBegan(Change, frozen=True):
    """A migration was seen to begin."""

    role: Role


class MigrationEnded(Change, frozen=True):
    """A migration ended.

    Attributes:
        role: which end this VM is.
        outcome: ``completed``, ``failed`` or ``cancelled``.
        seconds: how long it took, if its begin was seen.
    """

    role: Role
    outcome: str
    seconds: float | None


class ClientConnected(Change, frozen=True):
    """A connection to a display was opened."""

    protocol: Protocol


class SessionOpened(Change, frozen=True):
    """A display session became active."""

    protocol: Protocol
    auth: str | None


class ClientIncomplete(Change, frozen=True):
    """A connection to a display closed before it was authenticated."""

    protocol: Protocol


class Overflowed(Change, frozen=True):
    """A bound kept something from being shown; ``metric`` is what reads too little."""

    metric: str
