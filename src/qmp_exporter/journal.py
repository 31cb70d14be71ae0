"""What happened to the VMs, for people: a ring in memory that one thread writes and any may read.

An entry is a summary and not the event: a few hundred bytes, whatever QEMU sent. Nobody is woken
for one; who follows the journal looks at it from time to time.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from qmp_exporter.catalog.spec import Severity


if TYPE_CHECKING:
    from collections.abc import Collection


SIZE: Final = 2048
"""Entries that the journal holds of all VMs together."""

MAX_DETAILS: Final = 160
"""Characters kept of the details of an entry."""


class Entry(msgspec.Struct, gc=False):
    """Something that happened.

    Attributes:
        number: its place in the journal, from 1 without a gap.
        vm: what the VM was called.
        event: its QMP name, as QEMU sent it; in lower case, what became of the monitor.
        time: Unix seconds by QEMU's clock.
        details: what the catalog keeps of its data; a STOP has its cause once that is known.
        severity: of its kind.
        count: how many events of that kind it stands for.
    """

    number: int
    vm: str
    event: str
    time: float
    details: str = ""
    severity: Severity = Severity.INFO
    count: int = 1


class Filter(msgspec.Struct, frozen=True):
    """Which entries somebody wants to see; of an empty set, all.

    Attributes:
        vms: names of VMs.
        events: names of events.
    """

    vms: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()

    def takes(self, entry: Entry) -> bool:
        """Whether an entry is wanted."""
        return (not self.vms or entry.vm in self.vms) and (
            not self.events or entry.event in self.events
        )


EVERYTHING: Final = Filter()


class Journal:
    """The last entries of all VMs.

    Attributes:
        run: tells the numbers of this journal from those of another process.
        last: number of the newest entry; 0 before the first.
        changes: rises whenever what is shown of the VMs may have changed.
    """

    def __init__(self, size: int = SIZE) -> None:
        self.run = secrets.token_hex(4)
        self.last = 0
        self.changes = 0
        self._slots: list[Entry | None] = [None] * size

    def keep(self, entry: Entry) -> None:
        """Number an entry and take it in; the oldest one gives way. Of one thread only."""
        entry.number = number = self.last + 1
        self._slots[number % len(self._slots)] = entry
        self.last = number  # a reader looks at this first
        self.changes += 1

    def since(self, number: int, most: int = SIZE) -> tuple[Collection[Entry], int]:
        """Return what came after the entry of that number, and how many of these are lost.

        Args:
            number: 0 for all that there is.
            most: entries to return; the oldest of them.
        """
        last = self.last
        slots = self._slots.copy()  # of one moment, so that what is lost is the oldest
        size = len(slots)
        first = max(number, last - size) + 1
        found = [slots[at % size] for at in range(first, min(last, first + most - 1) + 1)]
        # The writer may have come round before that moment: what it wrote over is lost, too.
        entries = [e for at, e in enumerate(found, first) if e is not None and e.number == at]
        begin = entries[0].number if entries else first + len(found)
        return entries, begin - number - 1

    def newest(self, most: int, wanted: Filter = EVERYTHING) -> tuple[Entry, ...]:
        """Return the newest entries that are wanted, the newest first."""
        entries, _ = self.since(0)
        found = [entry for entry in entries if wanted.takes(entry)]
        return tuple(reversed(found[-most:]))
