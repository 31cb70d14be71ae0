"""The page sink: what happened to each VM, for people, in a bounded memory.

A storm of events is told in few words: of one kind and VM the first ones of a second are kept as
they are, the others become one entry that counts them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from qmp_exporter.catalog.events import BY_NAME, EVENTS, UNCATALOGUED
from qmp_exporter.catalog.spec import Severity
from qmp_exporter.catalog.states import FAILED_EXITS, TargetState
from qmp_exporter.catalog.text import label_text
from qmp_exporter.journal import Entry, Journal
from qmp_exporter.model.changes import Disconnected, Exited, Stopped
from qmp_exporter.model.event import Event
from qmp_exporter.sinks import LATE, NOBODY, Recount
from qmp_exporter.sinks.details import details


if TYPE_CHECKING:
    from qmp_exporter.model.inputs import Input
    from qmp_exporter.model.vm import VM, Step
    from qmp_exporter.sinks import Trace


BURST: Final = 10
"""Events of one kind and VM that are kept in ``WINDOW``; further ones are counted."""

WINDOW: Final = 1.0
"""Seconds."""

TIMELINE: Final = 50
"""Entries kept of one VM."""

LEAST: Final = 5
"""Entries kept of one VM, however many VMs there are."""

ALL_TIMELINES: Final = 50_000
"""Entries kept of all VMs together, as long as that leaves ``LEAST`` for each."""


class Kind(msgspec.Struct, gc=False):
    """The events of one kind.

    Attributes:
        count: all of them.
        told: those of which there is an entry.
        until: monotonic seconds, when the next burst may begin.
        left: how many of this burst may have entries of their own.
        full: until when events are only counted; 0 as long as some are left.
        storm: whether a tick is to look at it.
        last: Unix seconds of the last one.
    """

    count: int = 0
    told: int = 0
    until: float = 0.0
    left: int = BURST
    full: float = 0.0
    storm: bool = False
    last: float = 0.0


class Glance(msgspec.Struct):
    """What happened to a VM so far.

    Attributes:
        vm: its name.
        kinds: its events by QMP name, of the catalog.
        last_event: name of the newest one, as QEMU sent it; empty before the first.
        last_time: its Unix seconds.
        timeline: the last entries of the journal that are about it, the oldest first.
        ended: how its last QEMU ended; empty while one runs.
        stop: the entry of a STOP whose cause is not known yet.
    """

    vm: str = ""
    kinds: dict[str, Kind] = {}
    last_event: str = ""
    last_time: float | None = None
    timeline: deque[Entry] | tuple[()] = ()
    ended: str = ""
    stop: Entry | None = None

    @property
    def events(self) -> dict[str, int]:
        """How many events there were, by their names. Thread-safe."""
        return {name: kind.count for name, kind in list(self.kinds.items())}

    @property
    def total(self) -> int:
        """All events."""
        return sum(self.events.values())

    def of(self, event: str) -> int:
        """Return how many of one kind there were."""
        return self.kinds[event].count if event in self.kinds else 0

    def happened(self, event: str, time: float) -> None:
        """Remember the newest event."""
        late = 0.0 if self.last_time is None else self.last_time - time
        if not 0.0 < late <= LATE:
            self.last_event, self.last_time = event[:MAX_NAME], time


class PageSink:
    """Keeps a glance at each VM, and the journal.

    Args:
        journal: to write.
    """

    name: Final = "page"

    def __init__(self, journal: Journal | None = None) -> None:
        self.journal = Journal() if journal is None else journal
        self._glances: dict[str, Glance] = {}
        self._storms: list[tuple[Glance, str]] = []
        self._most = TIMELINE
        self._details = {spec.name: details(spec) for spec in (*EVENTS, UNCATALOGUED)}

    def add(self, vm: str, state: VM = NOBODY) -> None:  # noqa: ARG002 - a sink
        """Take in a VM."""
        self._glances[vm] = Glance(vm)
        self._share()
        self.journal.changes += 1

    def take(self, vm: str, given: Input, before: VM, step: Step, trace: Trace | None) -> None:  # noqa: ARG002 - a sink
        """Remember what happened."""
        if isinstance(given, Event):
            glance = self._glances[vm]
            kind = glance.kinds.get(given.spec.name)
            if kind is None:
                kind = glance.kinds[given.spec.name] = Kind()
            if given.now >= kind.full:  # else it is one of a storm, and only counted
                self._event(glance, kind, given, step)
            kind.count += 1
            kind.last = given.time
            glance.happened(given.name, given.time)
        if step.vm is not before and step.vm.target is not before.target:
            self._monitor(self._glances[vm], given, step)
        if step.changes:
            self._changed(self._glances[vm], step)

    def again(self, vm: str, event: Event) -> Recount | None:
        """Return how to count an event of a storm, as long as its burst is full."""
        glance = self._glances[vm]
        kind = glance.kinds[event.spec.name]
        if event.now >= kind.full:
            return None

        def count(times: list[float]) -> None:
            kind.count += len(times)
            kind.last = times[-1]
            glance.happened(event.name, max(times))

        return Recount(count, kind.full)

    def tick(self, now: float) -> None:
        """Tell of the storms whose burst is over at ``now``, in monotonic seconds."""
        storms, self._storms = self._storms, []
        for glance, name in storms:
            kind = glance.kinds[name]
            if kind.until <= now:
                kind.storm = False
                self._fold(glance, name, kind)
            else:
                self._storms.append((glance, name))

    def rename(self, old: str, new: str) -> None:
        """Go on under another name."""
        if new not in self._glances:
            self.add(new)
        was, now = self._glances.pop(old), self._glances[new]
        for name, kind in was.kinds.items():
            self._fold(was, name, kind)
            joined = now.kinds.setdefault(name, Kind())
            joined.count += kind.count
            joined.told += kind.told
        if (was.last_time or 0.0) > (now.last_time or 0.0):
            now.last_event, now.last_time = was.last_event, was.last_time
        both = sorted((*was.timeline, *now.timeline), key=lambda entry: entry.number)
        now.timeline = deque(both, self._most) if both else ()
        now.stop, now.ended = was.stop, was.ended
        self._drop_storms(was)
        self._share()
        self.journal.changes += 1

    def forget(self, vm: str) -> None:
        """Drop what is kept of a VM."""
        self._drop_storms(self._glances.pop(vm))
        self._share()
        self.journal.changes += 1

    def glance(self, vm: str) -> Glance:
        """Return what happened to a VM; nothing if it was forgotten meanwhile. Thread-safe."""
        return self._glances.get(vm) or Glance()

    # ---- parts

    def _event(self, glance: Glance, kind: Kind, event: Event, step: Step) -> None:
        """Keep an entry for an event; one before it for those that were only counted."""
        name = event.spec.name
        if event.now >= kind.until:
            kind.until, kind.left, kind.full = event.now + WINDOW, BURST, 0.0
            self._fold(glance, name, kind)
        kind.told += 1
        kind.left -= 1
        if not kind.left:
            kind.full = kind.until
            if not kind.storm:  # one that goes on is there since its last burst
                kind.storm = True
                self._storms.append((glance, name))
        shown = name if event.spec is not UNCATALOGUED else label_text(event.name[:MAX_NAME])
        told = self._details[name](event.data, step.vm)
        entry = self._keep(glance, shown, event.time, told, event.spec.severity)
        if name == "STOP":
            glance.stop = entry

    def _fold(self, glance: Glance, name: str, kind: Kind) -> None:
        """Keep an entry for the events that were only counted, if there are any."""
        count = kind.count - kind.told
        if count:
            kind.told = kind.count
            severity = BY_NAME.get(name, UNCATALOGUED).severity
            self._keep(glance, name, kind.last, "", severity, count)

    def _monitor(self, glance: Glance, given: Input, step: Step) -> None:
        """Keep an entry for what became of a monitor; of how QEMU ended, if it did."""
        state = step.vm.target
        told, severity = "", Severity.WARN if state in _BLIND else Severity.INFO
        if state is TargetState.CONNECTED:
            glance.ended = ""
        for change in step.changes:
            if isinstance(change, Exited):
                told = f"ended={change.cause}"
                glance.ended = change.cause.value
                severity = Severity.ERROR if change.cause in FAILED_EXITS else Severity.INFO
            elif isinstance(change, Disconnected):
                told = f"lost={change.reason}"
        if told or state is not TargetState.CONNECTING:  # each attempt begins with that
            self._keep(glance, str(state), given.time, told, severity)
        else:
            self.journal.changes += 1

    def _changed(self, glance: Glance, step: Step) -> None:
        """Tell the cause of a STOP."""
        for change in step.changes:
            if isinstance(change, Stopped) and glance.stop and glance.stop.time == change.time:
                glance.stop.details = f"cause={change.cause}"
                glance.stop = None
                self.journal.changes += 1

    def _keep(  # noqa: PLR0913, PLR0917 - the members of an entry
        self, glance: Glance, name: str, time: float, told: str, severity: Severity, count: int = 1
    ) -> Entry:
        entry = Entry(0, glance.vm, name, time, told, severity, count)
        self.journal.keep(entry)
        if not glance.timeline:
            glance.timeline = deque(maxlen=self._most)
        glance.timeline.append(entry)
        return entry

    def _drop_storms(self, glance: Glance) -> None:
        self._storms = [storm for storm in self._storms if storm[0] is not glance]

    def _share(self) -> None:
        """Give each VM its share of the entries that are kept."""
        most = max(LEAST, min(TIMELINE, ALL_TIMELINES // (len(self._glances) or 1)))
        if most != self._most:
            self._most = most
            for glance in self._glances.values():
                if glance.timeline:
                    glance.timeline = deque(glance.timeline, most)


MAX_NAME: Final = 64
"""Characters kept of the name of an event; the longest of QEMU's has 30."""

# The monitor is there, and events may be missed.
_BLIND: Final = frozenset(TargetState) - {
    TargetState.CONNECTED,
    TargetState.CONNECTING,
    TargetState.GONE,
    TargetState.REFUSED,
}
