"""The journal: numbered without a gap, bounded, read while it is written."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any

import pytest

from qmp_exporter.journal import Entry, Filter, Journal


def entry(vm: str = "web", event: str = "STOP") -> Entry:
    """Something that happened."""
    return Entry(0, vm, event, 1.0)


def filled(count: int, size: int = 8) -> Journal:
    """A journal that was given so many entries."""
    journal = Journal(size)
    for _ in range(count):
        journal.keep(entry())
    return journal


@pytest.mark.parametrize(
    ("count", "after", "numbers", "missed"),
    [
        (0, 0, [], 0),
        (3, 0, [1, 2, 3], 0),
        (3, 2, [3], 0),
        (3, 3, [], 0),
        (8, 0, [1, 2, 3, 4, 5, 6, 7, 8], 0),
        (20, 0, [13, 14, 15, 16, 17, 18, 19, 20], 12),
        (20, 10, [13, 14, 15, 16, 17, 18, 19, 20], 2),
        (20, 18, [19, 20], 0),
    ],
)
def test_what_came_since(count: int, after: int, numbers: list[int], missed: int) -> None:
    """All of it in order, and how many of it the ring does not hold any more."""
    entries, lost = filled(count).since(after)
    assert [e.number for e in entries] == numbers
    assert lost == missed


def test_as_many_as_are_wanted() -> None:
    """The oldest of them, so that nothing is skipped by who reads on."""
    entries, missed = filled(20).since(10, 3)
    assert ([e.number for e in entries], missed) == ([13, 14, 15], 2)


def test_runs_are_told_apart() -> None:
    """Numbers of another process mean nothing here."""
    assert Journal().run != Journal().run


def test_newest_that_are_wanted() -> None:
    """The newest first, of some VMs or events or both."""
    journal = Journal()
    for vm, event in (("a", "STOP"), ("b", "STOP"), ("a", "RESUME"), ("a", "STOP")):
        journal.keep(entry(vm, event))
    both = Filter(frozenset({"a", "c"}), frozenset({"STOP"}))
    assert [e.number for e in journal.newest(9)] == [4, 3, 2, 1]
    assert [e.number for e in journal.newest(9, both)] == [4, 1]
    assert [e.number for e in journal.newest(1, Filter(vms=frozenset({"b"})))] == [2]


def test_a_reader_in_another_thread_sees_each_entry_once_or_is_told() -> None:
    """However fast the ring turns under it: what it got and what it missed is all there was."""
    journal, total = Journal(64), 30_000
    got: list[int] = []
    missed = 0

    def read() -> None:
        nonlocal missed
        number = 0
        while number < total:
            entries, lost = journal.since(number, 16)
            missed += lost
            number += lost + len(entries)
            got.extend(e.number for e in entries)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(total):
        journal.keep(entry())
    reader.join(30)
    assert not reader.is_alive()
    assert len(got) + missed == total
    assert all(a < b for a, b in pairwise(got))


@pytest.mark.parametrize("at", range(1, 9))
def test_what_is_written_over_while_it_is_read_is_lost(at: int) -> None:
    """The ring turns under the reader: what is gone is told, wherever in the ring that was."""
    journal = filled(8, 8)

    class Turning(list[Entry | None]):
        """Slots under which the ring turns by three, once, when so many were read."""

        left = at

        def __getitem__(self, at: Any) -> Any:
            """Read slots."""
            found = super().__getitem__(at)
            self.left -= 1
            if self.left <= 0 and journal.last == 8:
                for _ in range(3):
                    journal.keep(entry())
            return found

        def copy(self) -> Turning:
            """Read all slots."""
            self[:0]
            return Turning(self)

    journal._slots = Turning(journal._slots)
    entries, missed = journal.since(1)
    numbers = [e.number for e in entries]
    assert numbers == list(range(numbers[0], 9))
    assert missed == 7 - len(numbers)
