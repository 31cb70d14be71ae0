"""The metrics sink: counts what happens, and renders all series from memory.

Counting is done on the event loop and touches a few integers. Rendering is done in a thread, from
text kept for each VM and metric, of which only what changed is made again.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.catalog.metrics import (
    ALL_VM_METRICS,
    DECODE_ERRORS,
    EVENTS_TOTAL,
    FLEET_METRICS,
)
from qmp_exporter.catalog.spec import Counter
from qmp_exporter.model.changes import Change, Connected, Overflowed
from qmp_exporter.model.event import Event
from qmp_exporter.sinks import NOBODY, Recount
from qmp_exporter.sinks.counting import Plan, known, plan, presets
from qmp_exporter.sinks.families import Family, Seats
from qmp_exporter.sinks.reading import about, samples, text, ticks
from qmp_exporter.sinks.series import Exemplar, Row, Series, Table
from qmp_exporter.telemetry.body import plain
from qmp_exporter.telemetry.samples import Samples


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qmp_exporter.catalog.spec import Values
    from qmp_exporter.model.inputs import Input
    from qmp_exporter.model.vm import VM, Step
    from qmp_exporter.sinks import Trace
    from qmp_exporter.telemetry.body import Piece


OWN_PREFIX: Final = "qmp_exporter_"
DEFAULT_LABEL_SETS: Final = 256

_INDEX: Final = {metric.name: index for index, metric in enumerate(ALL_VM_METRICS)}
_LABELS: Final = {m.name: ("vm", *(label.name for label in m.labels)) for m in ALL_VM_METRICS}
_PLANS: Final = {m.name: plan(m) for m in ALL_VM_METRICS if isinstance(m, Counter)}
_BY_EVENT: Final = {
    spec.name: tuple((_INDEX[c.name], _PLANS[c.name]) for c in spec.counters) for spec in EVENTS
}
_BY_CHANGE: Final[dict[type[Change], tuple[tuple[int, Plan], ...]]] = {}
for _metric in ALL_VM_METRICS:
    if isinstance(_metric, Counter) and _metric.on is not None:
        _entry = (_INDEX[_metric.name], _PLANS[_metric.name])
        _BY_CHANGE[_metric.on] = (*_BY_CHANGE.get(_metric.on, ()), _entry)

_ABOUT: Final = [about(metric.name, metric.help) for metric in ALL_VM_METRICS]
_ABOUT_FLEET: Final = [about(name, metric.help) for name, metric in FLEET_METRICS.items()]
_EVENTS_INDEX: Final = _INDEX[EVENTS_TOTAL.name]
_ERRORS_INDEX: Final = _INDEX[DECODE_ERRORS.name]


class MetricsSink:
    """Counters and gauges of all VMs.

    Args:
        overflowed: called with the name of a metric whose limit of label sets was hit.
        label_sets: rows of one metric with ids as labels, for one VM; further ones share one row.
    """

    name: Final = "metrics"

    def __init__(
        self,
        overflowed: Callable[[str], None] = lambda _: None,
        label_sets: int = DEFAULT_LABEL_SETS,
    ) -> None:
        self._overflowed = overflowed
        self.label_sets = label_sets
        self._series: dict[str, Series] = {}
        self._queue: deque[Series] = deque()
        self._fleet = {
            vm_metric.name: Table(name, tuple(label.name for label in vm_metric.labels))
            for name, vm_metric in FLEET_METRICS.items()
        }
        for vm_metric in FLEET_METRICS.values():
            for values in presets(vm_metric, NOBODY):
                self._fleet[vm_metric.name].row(values)
        # What follows belongs to the thread that renders.
        self._lock = threading.Lock()
        self._ticking: dict[Series, None] = {}  # a set that keeps its order
        self._seats = Seats()
        self._families = list(map(Family, _ABOUT))
        self._fleet_families = list(map(Family, _ABOUT_FLEET))

    def add(self, vm: str, state: VM = NOBODY) -> None:
        """Take in a VM: its series about the exporter are there at once, at 0."""
        tables = [
            Table(metric.name, _LABELS[metric.name]) if isinstance(metric, Counter) else None
            for metric in ALL_VM_METRICS
        ]
        series = self._series[vm] = Series(vm, tables)
        series.vm = state
        self._preset(series, own=True)
        self._enqueue(series)

    def take(self, vm: str, given: Input, before: VM, step: Step, trace: Trace | None) -> None:
        """Count what an input meant for a VM."""
        series = self._series[vm]
        after = step.vm
        if after is not before:
            series.vm = after
            series.changed = True
        exemplar = None if trace is None else Exemplar(trace, given.time)
        if isinstance(given, Event):
            self._count_event(series, given, exemplar)
        for change in step.changes:
            self._count_change(series, change, exemplar)
        if after is not before and known(after) != known(before):
            self._preset(series, own=False)
        if after is not before or step.changes or isinstance(given, Event):
            self._enqueue(series)

    def again(self, vm: str, event: Event) -> Recount | None:
        """Return how to raise the rows of an event; none if they share theirs with others."""
        series = self._series[vm]
        counted: list[tuple[int, Values, int]] = [(_EVENTS_INDEX, (event.spec.name,), 1)]
        for index, how in _BY_EVENT.get(event.spec.name, ()):
            raises = how.raised(event.data, series.vm)
            if raises is not None:
                counted.append((index, *raises))
        raised: list[tuple[Table, Row, int]] = []
        for index, values, amount in counted:
            table = series.tables[index]
            if table is None or values not in table.rows:
                return None
            raised.append((table, table.rows[values], amount))
            fleet = self._fleet.get(table.metric)
            if fleet is not None:
                raised.append((fleet, fleet.rows[values], amount))

        def count(times: list[float]) -> None:
            number = len(times)
            for table, row, amount in raised:
                row.value += number * amount
                table.stale = True
            series.happened(max(times))
            self._enqueue(series)

        return Recount(count)

    def decode_error(self, vm: str, event: str) -> None:
        """Count a line that is not the event that it claims to be."""
        series = self._series[vm]
        self._bump(series, _ERRORS_INDEX, (event,), 1, None)
        self._enqueue(series)

    def rename(self, old: str, new: str) -> None:
        """Show the series of ``old`` under ``new``, added to what ``new`` had before."""
        source = self._series[old]
        if new not in self._series:
            self.add(new)
        target = self._series[new]
        for index, tables in enumerate(zip(source.tables, target.tables, strict=True)):
            table, joined = tables
            if table is None or joined is None:
                continue
            for values, row in table.rows.items():
                into = self._row(target, index, values)
                into.value += row.value
                if table.exemplars is not None and row in table.exemplars:
                    joined.mark(into, table.exemplars[row])
            joined.stale = True
        target.vm = source.vm
        target.changed = True
        stamps = [s.last_event for s in (source, target) if s.last_event is not None]
        target.last_event = max(stamps, default=None)
        self.forget(old)
        self._enqueue(target)

    def forget(self, vm: str) -> None:
        """Let the series of a VM vanish."""
        series = self._series.pop(vm)
        series.dropped = True
        self._enqueue(series)

    def value(self, vm: str, metric: str) -> int:
        """Return the sum over the rows of a VM's counter."""
        table = self._series[vm].tables[_INDEX[metric]]
        return sum(row.value for row in table.rows.values()) if table else 0

    def pieces(self, now: float, *, openmetrics: bool, names: frozenset[str]) -> list[Piece]:
        """Return the exposition of all series, or of those of ``names``.

        Thread-safe. Args: ``now`` in monotonic seconds; ``openmetrics`` for OpenMetrics 1.0,
        without its closing ``# EOF``, instead of the text format 0.0.4.
        """
        with self._lock:
            self._refresh(now)
            return [
                piece
                for family in (*self._families, *self._fleet_families)
                if not names or family.name in names
                for piece in family.pieces(openmetrics=openmetrics)
            ]

    def render(self, now: float, *, openmetrics: bool, names: frozenset[str]) -> str:
        """Return the same as text."""
        return plain(self.pieces(now, openmetrics=openmetrics, names=names)).decode()

    def samples(self, clock: Callable[[], float]) -> Iterator[list[Samples]]:
        """Yield what ``render`` shows with its structure: of one VM at a time, then of the fleet.

        Thread-safe. A VM is read when its turn comes, and owns its samples as long as it is there;
        neither counting nor rendering waits for who takes them. Args: ``clock`` for monotonic
        seconds.
        """
        for series in list(self._series.values()):
            with self._lock:
                found = [] if series.dropped else list(samples(series, _ABOUT, clock()))
            yield found
        with self._lock:
            self._let_go()
        yield [
            Samples(metric, self, table.labels, table.numbers())
            for metric, table in zip(_ABOUT_FLEET, self._fleet.values(), strict=True)
        ]

    def last(self, owner: object, now: float) -> tuple[list[Samples], list[Samples]]:
        """Return the last samples of a VM that is gone, and those of who has its name now."""
        assert isinstance(owner, Series)  # noqa: S101 - it owns samples of ours, and ends
        heir = self._series.get(owner.name)
        with self._lock:
            old = list(samples(owner, _ABOUT, now))
            return old, list(samples(heir, _ABOUT, now)) if heir is not None else []

    # ---- counting, on the event loop

    def _count_event(self, series: Series, event: Event, exemplar: Exemplar | None) -> None:
        series.happened(event.time)
        name = event.spec.name
        self._bump(series, _EVENTS_INDEX, (name,), 1, exemplar)
        for index, counter in _BY_EVENT.get(name, ()):
            self._count(series, index, counter, event.data, exemplar)

    def _count_change(self, series: Series, change: Change, exemplar: Exemplar | None) -> None:
        if type(change) is Connected:
            self._preset(series, own=False)
        elif type(change) is Overflowed:
            self._overflowed(change.metric)
        for index, counter in _BY_CHANGE.get(type(change), ()):
            self._count(series, index, counter, change, exemplar)

    def _count(
        self, series: Series, index: int, how: Plan, data: object, exemplar: Exemplar | None
    ) -> None:
        raises = how.raised(data, series.vm)
        if raises is not None:
            self._bump(series, index, *raises, exemplar)

    def _bump(
        self, series: Series, index: int, values: Values, amount: int, exemplar: Exemplar | None
    ) -> None:
        table = series.tables[index]
        assert table is not None  # noqa: S101 - counters have tables
        row = table.rows.get(values) or self._row(series, index, values)
        row.value += amount
        if exemplar is not None:
            exemplar = exemplar.by(amount)
            table.mark(row, exemplar)
        table.stale = True
        fleet = self._fleet.get(table.metric)
        if fleet is not None:
            total = fleet.row(values)
            total.value += amount
            if exemplar is not None:
                fleet.mark(total, exemplar)
            fleet.stale = True

    def _row(self, series: Series, index: int, values: Values) -> Row:
        table = series.tables[index]
        assert table is not None  # noqa: S101 - counters have tables
        if values not in table.rows and len(table.rows) >= self.label_sets:
            other = _PLANS[table.metric].other(values)
            if other != values:  # what has closed labels only needs no limit
                self._overflowed(table.metric)
                values = other
        return table.row(values)

    def _preset(self, series: Series, *, own: bool) -> None:
        for index, metric in enumerate(ALL_VM_METRICS):
            if isinstance(metric, Counter) and metric.name.startswith(OWN_PREFIX) is own:
                for values in presets(metric, series.vm):
                    self._row(series, index, values)

    def _enqueue(self, series: Series) -> None:
        if not series.queued:
            series.queued = True
            self._queue.append(series)

    # ---- rendering, in a thread

    def _refresh(self, now: float) -> None:
        due = dict(self._ticking)
        for _ in range(len(self._queue)):  # what comes while it renders is for the next time
            series = self._queue.popleft()
            series.queued = False  # from here on a change queues it again
            due[series] = None
        for series in due:
            self._refresh_series(series, now)
        for family, table in zip(self._fleet_families, self._fleet.values(), strict=True):
            parts = table.renewed()
            if parts is not None:
                family.put(0, *parts)

    def _let_go(self) -> None:
        """Drop what is kept of VMs that are gone, for where nobody asks for a rendering."""
        for _ in range(len(self._queue)):
            series = self._queue.popleft()
            if series.dropped:
                self._refresh_series(series, 0)
            else:
                self._queue.append(series)

    def _refresh_series(self, series: Series, now: float) -> None:
        if series.dropped:
            self._vanish(series)
            return
        if series.seat is None:
            series.seat = self._seats.take()
        changed = series.changed
        if changed:  # cleared before the state is read, and only if it was set
            series.changed = False
        if series.vm.unobserved.since is not None or series.vm.stops.cause is not None:
            self._ticking[series] = None
        else:
            self._ticking.pop(series, None)
        for metric, table, family in zip(
            ALL_VM_METRICS, series.tables, self._families, strict=True
        ):
            if table is not None:
                parts = table.renewed(series.start)
                if parts is not None:
                    family.put(series.seat, *parts)
            elif changed or ticks(metric):
                family.put(series.seat, text(series, metric, now).encode())

    def _vanish(self, series: Series) -> None:
        self._ticking.pop(series, None)
        if series.seat is not None:
            for family in self._families:
                family.put(series.seat, b"")
            self._seats.leave(series.seat)
            series.seat = None
