"""What a metrics sink is to show, counted again: from the catalog, with no text kept of anything.

It is a sink itself, to stand beside the one that is tested.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from prometheus_client import Metric
from prometheus_client.core import Exemplar

from qmp_exporter.catalog.metrics import (
    ALL_VM_METRICS,
    DECODE_ERRORS,
    EVENTS_TOTAL,
    FLEET_METRICS,
    LAST_EVENT,
)
from qmp_exporter.catalog.spec import Counter, Sampled
from qmp_exporter.catalog.states import OTHER
from qmp_exporter.catalog.text import label_text
from qmp_exporter.model.changes import Connected
from qmp_exporter.model.event import Event
from qmp_exporter.sinks import LATE, NOBODY


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qmp_exporter.catalog.metrics import VmMetric
    from qmp_exporter.catalog.spec import Label, Values
    from qmp_exporter.model.inputs import Input
    from qmp_exporter.model.vm import VM, Step
    from qmp_exporter.sinks import Trace

    Shown = tuple[dict[str, str], float, Exemplar | None]
    """Labels but for ``vm``, value, and the exemplar."""


@dataclass
class Point:
    """One series of a counter, and what raised it last."""

    value: int = 0
    exemplar: Exemplar | None = None
    marked: float = 0.0

    def mark(self, exemplar: Exemplar | None, time: float) -> None:
        """Take an exemplar of that time, but not one that was held back."""
        late = self.exemplar is not None and 0.0 < self.marked - time <= LATE
        if exemplar is not None and not late:
            self.exemplar, self.marked = exemplar, time


@dataclass
class Machine:
    """What was counted of one VM; ``floor`` has the seconds that were shown, by metric."""

    vm: VM
    counters: dict[str, dict[Values, Point]] = field(default_factory=dict)
    last_event: float | None = None
    floor: dict[tuple[str, Values], float] = field(default_factory=dict)

    def shown(self, metric: VmMetric, now: float) -> Iterator[Shown]:
        """Yield the samples of a metric."""
        names = [label.name for label in metric.labels]
        if isinstance(metric, Counter):
            for values, point in self.counters.get(metric.name, {}).items():
                yield dict(zip(names, values, strict=True)), point.value, point.exemplar
            return
        more = metric.further(self.vm) if isinstance(metric, Sampled) and metric.further else ()
        for values, number in self._read(metric, now):
            yield {**dict(zip(names, values, strict=True)), **dict(more)}, number, None

    def _read(self, metric: VmMetric, now: float) -> Iterable[tuple[Values, float]]:
        if isinstance(metric, Sampled):
            for values, number in metric.read(self.vm, now):
                key = metric.name, values
                if metric.ticks:
                    self.floor[key] = max(number, self.floor.get(key, 0.0))
                yield values, self.floor[key] if metric.ticks else number
        elif metric is LAST_EVENT:
            if self.last_event is not None:
                yield (), self.last_event
        else:
            for values, reading in self.vm.readings.get(metric.name, {}).items():
                yield values, reading.value


class Tally:
    """A sink that counts as plainly as can be, and hands out prometheus-client's families.

    Args:
        label_sets: rows of one metric with ids as labels, for one VM.
    """

    name: Final = "tally"

    def __init__(self, label_sets: int) -> None:
        self._label_sets = label_sets
        self._machines: dict[str, Machine] = {}
        self._fleet = {
            name: {values: Point() for values in _preset(metric, NOBODY)}
            for name, metric in FLEET_METRICS.items()
        }

    def families(self, now: float) -> list[Metric]:
        """Return what is to be shown at monotonic second ``now``; a family has samples."""
        found = []
        for metric in ALL_VM_METRICS:
            family = _family(metric.name, metric.help)
            for name, machine in self._machines.items():
                for labels, number, exemplar in machine.shown(metric, now):
                    told = {"vm": name, **labels}
                    family.add_sample(metric.name, told, number, exemplar=exemplar)
            found.append(family)
        for name, metric in FLEET_METRICS.items():
            family = _family(name, metric.help)
            for values, point in self._fleet[name].items():
                told = dict(zip((label.name for label in metric.labels), values, strict=True))
                family.add_sample(name, told, point.value, exemplar=point.exemplar)
            found.append(family)
        return [family for family in found if family.samples]

    def add(self, vm: str, state: VM = NOBODY) -> None:
        """Take in a VM."""
        self._machines[vm] = Machine(state)
        self._preset(self._machines[vm], own=True)

    def take(self, vm: str, given: Input, before: VM, step: Step, trace: Trace | None) -> None:
        """Count what an input meant for a VM."""
        machine, after = self._machines[vm], step.vm
        machine.vm = after
        if isinstance(given, Event):
            machine.last_event = max(given.time, machine.last_event or given.time)
            self._raise(machine, EVENTS_TOTAL, (given.spec.name,), 1, trace, given.time)
            for counter in given.spec.counters:
                self._count(machine, counter, given.data, trace, given.time)
        for change in step.changes:
            if isinstance(change, Connected):
                self._preset(machine, own=False)
            for metric in ALL_VM_METRICS:
                if isinstance(metric, Counter) and metric.on is type(change):
                    self._count(machine, metric, change, trace, given.time)
        if after.disks != before.disks or after.displays.keys() != before.displays.keys():
            self._preset(machine, own=False)

    def decode_error(self, vm: str, event: str) -> None:
        """Count a line that is not the event that it claims to be."""
        self._raise(self._machines[vm], DECODE_ERRORS, (event,), 1, None, 0.0)

    def rename(self, old: str, new: str) -> None:
        """Add what is counted of ``old`` to ``new``."""
        if new not in self._machines:
            self.add(new)
        source, target = self._machines.pop(old), self._machines[new]
        for metric in ALL_VM_METRICS:
            if isinstance(metric, Counter):
                for values, point in source.counters.get(metric.name, {}).items():
                    into = self._point(target, metric, values)
                    into.value += point.value
                    into.mark(point.exemplar, point.marked)
        target.vm = source.vm
        stamps = [m.last_event for m in (source, target) if m.last_event is not None]
        target.last_event = max(stamps, default=None)

    def forget(self, vm: str) -> None:
        """Drop a VM."""
        del self._machines[vm]

    def _count(
        self, machine: Machine, counter: Counter, data: object, trace: Trace | None, time: float
    ) -> None:
        if counter.when and not attrgetter(counter.when)(data):
            return
        values = tuple(_value(label, data, machine.vm) for label in counter.labels)
        amount = attrgetter(counter.add)(data) if counter.add else 1
        self._raise(machine, counter, values, amount, trace, time)

    def _raise(  # noqa: PLR0913, PLR0917 - whose row, by how much, and what did it
        self,
        machine: Machine,
        counter: Counter,
        values: Values,
        amount: int,
        trace: Trace | None,
        time: float,
    ) -> None:
        points = [self._point(machine, counter, values)]
        if counter.fleet:
            points.append(self._fleet[counter.fleet].setdefault(values, Point()))
        for point in points:
            point.value += amount
            if trace is not None:
                ids = {"trace_id": trace.trace_id, "span_id": trace.span_id}
                point.mark(Exemplar(ids, amount, time), time)

    def _point(self, machine: Machine, counter: Counter, values: Values) -> Point:
        rows = machine.counters.setdefault(counter.name, {})
        if values not in rows and len(rows) >= self._label_sets:
            labelled = zip(counter.labels, values, strict=True)
            values = tuple(value if label.values else OTHER for label, value in labelled)
        return rows.setdefault(values, Point())

    def _preset(self, machine: Machine, *, own: bool) -> None:
        for metric in ALL_VM_METRICS:
            if isinstance(metric, Counter) and metric.name.startswith("qmp_exporter_") is own:
                for values in _preset(metric, machine.vm):
                    self._point(machine, metric, values)


def _family(name: str, help_: str) -> Metric:
    counts = name.endswith("_total")
    return Metric(name.removesuffix("_total"), help_, "counter" if counts else "gauge")


def _preset(counter: Counter, vm: VM) -> Iterable[Values]:
    if counter.preset is not None:
        return counter.preset
    known = {
        "disks": tuple(vm.disks.status),
        "quorums": vm.disks.quorums,
        "displays": tuple(vm.displays),
    }
    return product(*(known.get(label.known, label.values) for label in counter.labels))


def _value(label: Label, data: object, vm: VM) -> str:
    if label.disk:
        return vm.disk_of(data)  # type: ignore[arg-type]  # only an error of a disk has it
    found = attrgetter(label.source)(data)
    if not label.values:
        return label_text(found)
    text = str(found).lower() if isinstance(found, bool) else str(found)
    return text if text in label.values else OTHER
