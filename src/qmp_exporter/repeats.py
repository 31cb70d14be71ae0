"""The fast path: events that come again, of a VM that sends thousands a second.

A storm is one event over and over: but for the stamp, its lines are the same bytes. What the first
ones meant was found out by all of the pipeline; as long as the VM is as it was, the next can only
be counted once more. So they are told by their bytes, not decoded, and counted by the batch.
"""

from __future__ import annotations

import re
from math import inf
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from qmp_exporter.catalog.decoder import MAX_SKEW, unstamped


if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmp_exporter.sinks import Recount
    from qmp_exporter.telemetry.self_metrics import Histogram


MOST: Final = 32
"""Events of one VM that are known at a time."""

LONGEST: Final = 1024
"""Bytes of a line that is known; QEMU's own have some hundred."""

# The stamp as QEMU writes it, up to the microseconds.
_HEAD: Final = re.compile(rb'\{"timestamp": \{"seconds": ([1-9][0-9]{9}), "microseconds": ')
_MICROSECONDS: Final = len(b'{"timestamp": {"seconds": 1700000000, "microseconds": ')
_DIGITS: Final = 6  # of the microseconds at most


class Known:
    """An event that came before.

    Attributes:
        recounts: how the sinks count it.
        times: Unix seconds of those that came again and are not counted yet.
    """

    __slots__ = ("recounts", "times")

    def __init__(self, recounts: tuple[Recount, ...]) -> None:
        self.recounts = recounts
        self.times: list[float] = []


class Repeats:
    """The events of one VM that only count when they come again.

    They are known as long as the VM is as it was; who changes it drops this.

    Args:
        delays: observes the seconds from each stamp to its being counted.
    """

    __slots__ = ("_came", "_delays", "_known", "_until")

    def __init__(self, delays: Histogram) -> None:
        self._delays = delays
        self._came: set[int] = set()
        self._known: dict[bytes, Known] = {}
        self._until = inf

    def came(self, line: bytes) -> bool:
        """Whether an event is worth knowing: it came before, as QEMU writes it, and is short."""
        mark = hash(unstamped(line))
        if mark in self._came:
            return len(line) <= LONGEST and _HEAD.match(line) is not None
        if len(self._came) >= MOST:
            self._came.clear()
        self._came.add(mark)
        return False

    def learn(self, line: bytes, recounts: tuple[Recount, ...], until: float = inf) -> None:
        """Know an event that came before, until one of the sinks wants to see it again.

        Args: ``until`` is when it may mean something else at the latest, in monotonic seconds.
        """
        if len(self._known) >= MOST:
            self._known.clear()
            self._until = inf
        self._known[unstamped(line)] = Known(recounts)
        self._until = min((self._until, until, *(recount.until for recount in recounts)))

    def take(self, lines: Sequence[bytes], start: int, end: int) -> int:
        """Count the events that are known, from ``start`` on; return where the first other one is.

        Args: ``end`` is where to stop at the latest.
        """
        known = self._known
        if monotonic() >= self._until:
            known.clear()
            self._until = inf
        if not known:
            return start
        wall = time()
        prefix, seconds, at = b"", 0, start
        for line in lines[start:end]:
            if line[:_MICROSECONDS] != prefix:
                head = _HEAD.match(line)
                if head is None or abs(int(head[1]) - wall) > MAX_SKEW - 1:
                    break
                prefix, seconds = head[0], int(head[1])
            close = line.find(b"}", _MICROSECONDS)
            one = known.get(line[close + 1 :])
            digits = line[_MICROSECONDS:close]
            if one is None or not digits.isdigit() or len(digits) > _DIGITS:
                break
            if digits.startswith(b"0") and len(digits) > 1:  # no number in JSON
                break
            one.times.append(seconds + int(digits) / 1e6)
            at += 1
        if at > start:
            self._count()
        return at

    def _count(self) -> None:
        """Count what is not counted yet."""
        now = time()
        for one in self._known.values():
            times = one.times
            if times:
                for recount in one.recounts:
                    recount.count(times)
                self._delays.observe_all([now - then for then in times])
                times.clear()
