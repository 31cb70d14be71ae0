"""The page sink: the last event of each VM, and a few sums, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from qmp_exporter.model.event import Event
from qmp_exporter.sinks import NOBODY


if TYPE_CHECKING:
    from qmp_exporter.model.inputs import Input
    from qmp_exporter.model.vm import VM, Step


class Glance(msgspec.Struct):
    """What happened to a VM so far.

    Attributes:
        events: by QMP name, of the catalog.
        last_event: name of the newest one, as QEMU sent it; empty before the first.
        last_time: its Unix seconds.
    """

    events: dict[str, int]
    last_event: str = ""
    last_time: float | None = None

    @property
    def total(self) -> int:
        """All events."""
        return sum(self.events.values())

    def of(self, event: str) -> int:
        """Return how many of one kind there were."""
        return self.events.get(event, 0)


class PageSink:
    """Keeps a glance at each VM."""

    name: Final = "page"

    def __init__(self) -> None:
        self._glances: dict[str, Glance] = {}

    def add(self, vm: str, state: VM = NOBODY) -> None:  # noqa: ARG002 - a sink
        """Take in a VM."""
        self._glances[vm] = Glance({})

    def take(self, vm: str, given: Input, before: VM, step: Step) -> None:  # noqa: ARG002 - a sink
        """Remember an event."""
        if isinstance(given, Event):
            glance = self._glances[vm]
            name = given.spec.name
            glance.events[name] = glance.events.get(name, 0) + 1
            if glance.last_time is None or given.time >= glance.last_time:
                glance.last_event, glance.last_time = given.name[:MAX_NAME], given.time

    def rename(self, old: str, new: str) -> None:
        """Go on under another name."""
        if new not in self._glances:
            self.add(new)
        was, now = self._glances.pop(old), self._glances[new]
        for name, count in was.events.items():
            now.events[name] = now.events.get(name, 0) + count
        if (was.last_time or 0.0) > (now.last_time or 0.0):
            now.last_event, now.last_time = was.last_event, was.last_time

    def forget(self, vm: str) -> None:
        """Drop what is kept of a VM."""
        del self._glances[vm]

    def glance(self, vm: str) -> Glance:
        """Return what happened to a VM; nothing if it was forgotten meanwhile. Thread-safe."""
        return self._glances.get(vm) or Glance({})


MAX_NAME: Final = 64
"""Characters kept of the name of an event; the longest of QEMU's has 30."""
