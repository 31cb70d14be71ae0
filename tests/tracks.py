"""What is under way, as spans that a test can look at; no tracer makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from qmp_exporter.model.event import Event
from qmp_exporter.model.operation import Began, Crowded, Ended, Noted, Told, Underway
from qmp_exporter.model.underway import close, follow, tick


if TYPE_CHECKING:
    from collections.abc import Iterable

    from qmp_exporter.model.inputs import Input
    from qmp_exporter.model.operation import Fact
    from qmp_exporter.model.vm import VM, Step


class Shown(msgspec.Struct):
    """A span; times in seconds from the start."""

    name: str
    begin: float
    parent: str = ""
    cause: str = ""
    previous: str = ""
    end: float | None = None
    events: list[str] = []
    told: dict[str, Any] = {}
    error: str = ""


class Tracks:
    """The spans of a VM.

    Args:
        start: Unix seconds that are second 0.

    Attributes:
        known: what is under way.
        crowded: operations without a span, once for each event.
    """

    def __init__(self, start: float) -> None:
        self._start = start
        self._by_id: dict[int, Shown] = {}
        self.known = Underway()
        self.crowded: list[str] = []

    @property
    def spans(self) -> list[Shown]:
        """All of them, in the order in which they began."""
        return list(self._by_id.values())

    def all(self, name: str) -> list[Shown]:
        """Return all spans of that name, the oldest first."""
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> Shown:
        """Return the only span of that name."""
        (found,) = self.all(name)
        return found

    def follow(self, given: Input, before: VM, step: Step) -> None:
        """Follow a step of the VM."""
        self.known, facts = follow(self.known, given, before, step)
        self._take(facts, given)

    def tick(self, time: float, now: float) -> None:
        """Let nothing happen until then, in Unix and monotonic seconds."""
        self.known, facts = tick(self.known, time, now)
        self._take(facts)

    def close(self, time: float) -> None:
        """Look away, in Unix seconds."""
        self.known, facts = close(self.known, time)
        self._take(facts)

    def _take(self, facts: Iterable[Fact], given: Input | None = None) -> None:
        for fact in facts:
            match fact:
                case Began():
                    names = (fact.parent, fact.cause, fact.previous)
                    parent, cause, previous = (self._label(number) for number in names)
                    told = dict(fact.attributes)
                    self._by_id[fact.id] = Shown(
                        fact.name,
                        self._seconds(fact.time),
                        parent,
                        cause,
                        previous,
                        told=told,
                        error=fact.error,
                    )
                case Noted():
                    assert isinstance(given, Event)
                    cause = f" <- {fact.cause}" if fact.cause else ""
                    self._open(fact.id).events.append(f"{given.name}{cause}")
                case Told():
                    self._open(fact.id).told |= fact.attributes
                    self._open(fact.id).error = fact.error
                case Ended():
                    self._open(fact.id).end = self._seconds(fact.time)
                case Crowded():
                    self.crowded.append(fact.name)

    def _open(self, number: int) -> Shown:
        assert self._by_id[number].end is None
        return self._by_id[number]

    def _seconds(self, time: float) -> float:
        return round(time - self._start, 6)

    def _label(self, number: int | None) -> str:
        """Return the name of a span and which of that name it is, from 0."""
        if number is None:
            return ""
        span = self._by_id[number]
        return f"{span.name} {[s is span for s in self.all(span.name)].index(True)}"
