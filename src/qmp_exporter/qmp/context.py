"""What all connections of an exporter share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from qmp_exporter.model.event import Event
from qmp_exporter.qmp.client import Limits
from qmp_exporter.qmp.entry import Entry
from qmp_exporter.qmp.order import Order
from qmp_exporter.qmp.timing import Timing
from qmp_exporter.qmp.turns import Turns
from qmp_exporter.qmp.unix import UnixTable


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _nothing(*_: object) -> None:
    """Take note of nothing."""


class Tap(Protocol):
    """Who hears all that a monitor says, in the order of the stream, before it is understood."""

    def line(self, line: bytes) -> None:
        """Hear a line that is no reply."""

    def reply(self, command: str, message: Mapping[str, object]) -> None:
        """Hear the reply to a command: ``return`` or ``error``."""


class Context(msgspec.Struct, frozen=True):
    """What all connections share.

    Attributes:
        decode: from a line, Unix and monotonic seconds to an event.
        table: the kernel's table of unix sockets.
        order: in which VMs that are met at the same time are named.
        turns: of the event loop.
        entry: of those who connect.
        timing: time limits.
        limits: of what a monitor may send.
        migration_events: whether QEMU may be told to send MIGRATION, which it does not by itself,
            where the target does not say.
        answered: called with each command that was answered, and its seconds.
        yielded: called each time that a flood made way for other monitors.
        tap: who hears all that is said.
    """

    decode: Callable[[bytes, float, float], Event]
    table: UnixTable
    order: Order = msgspec.field(default_factory=Order)
    turns: Turns = msgspec.field(default_factory=Turns)
    entry: Entry = msgspec.field(default_factory=Entry)
    timing: Timing = Timing()
    limits: Limits = Limits()
    migration_events: bool = True
    answered: Callable[[str, float], None] = _nothing
    yielded: Callable[[], None] = _nothing
    tap: Tap | None = None
