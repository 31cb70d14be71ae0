"""What prometheus-client makes of the numbers of a metrics sink, to hold its pages to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Exemplar, GaugeMetricFamily
from prometheus_client.registry import Collector

from builders import BOOT, Watch, blocks, connected, drive, event, link, lost, status, trace, vnc
from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.catalog.metrics import ALL_VM_METRICS, FLEET_METRICS
from qmp_exporter.catalog.spec import Counter, Sampled
from qmp_exporter.catalog.states import TargetState


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import Metric

    from qmp_exporter.catalog.metrics import VmMetric
    from qmp_exporter.model.inputs import Input
    from qmp_exporter.sinks.metrics import MetricsSink
    from qmp_exporter.sinks.series import Series, Table

    Sample = tuple[tuple[str, ...], float, Exemplar | None]
    """Label values, value, and what prometheus-client is to show with it."""

HOSTILE = 'we"b\\n\\ {x="1"} 5 # {trace_id="1"} 1'


class Reference(Collector):
    """The series of a sink as prometheus-client families, from the same numbers.

    Args:
        sink: whose numbers they are.
        now: monotonic seconds.
    """

    def __init__(self, sink: MetricsSink, now: float) -> None:
        self._sink = sink
        self._now = now

    def collect(self) -> Iterable[Metric]:
        """Yield the families in the order of the catalog."""
        for index, metric in enumerate(ALL_VM_METRICS):
            labels = ["vm", *(label.name for label in metric.labels)]
            rows = [
                ((name, *values), value, exemplar)
                for name, series in self._sink._series.items()
                for values, value, exemplar in self._rows(series, index, metric)
            ]
            yield _family(metric.name, metric.help, labels, rows)
        for name, metric in FLEET_METRICS.items():
            rows = list(_counted(self._sink._fleet[metric.name]))
            yield _family(name, metric.help, [label.name for label in metric.labels], rows)

    def _rows(self, series: Series, index: int, metric: VmMetric) -> Iterable[Sample]:
        table = series.tables[index]
        if table is not None:
            return _counted(table)
        assert not isinstance(metric, Counter)
        if isinstance(metric, Sampled):
            return [(values, value, None) for values, value in metric.read(series.vm, self._now)]
        if metric.field == "time":
            return [] if series.last_event is None else [((), series.last_event, None)]
        readings = series.vm.readings.get(metric.name, {})
        return [(values, reading.value, None) for values, reading in readings.items()]


def _counted(table: Table) -> Iterator[Sample]:
    for values, row in table.rows.items():
        exemplar = (table.exemplars or {}).get(row)
        if exemplar is None:
            yield values, row.value, None
        else:
            put = exemplar.trace
            labels = {"trace_id": put.trace_id, "span_id": put.span_id}
            yield values, row.value, Exemplar(labels, exemplar.value, exemplar.time)


def _family(name: str, help_: str, labels: list[str], rows: list[Sample]) -> Metric:
    if not name.endswith("_total"):
        gauge = GaugeMetricFamily(name, help_, labels=labels)
        for values, value, exemplar in rows:
            assert exemplar is None
            gauge.add_metric(values, value)
        return gauge
    counter = CounterMetricFamily(name, help_, labels=labels)
    for values, value, exemplar in rows:
        counter.add_metric(values, value, exemplar=exemplar)
    return counter


def reference(watch: Watch, at: float) -> CollectorRegistry:
    """Return what is to be shown at second ``at``, for prometheus-client to show it."""
    registry = CollectorRegistry()
    registry.register(Reference(watch.sink, BOOT + at))
    return registry


def read(families: Iterable[Metric]) -> dict[str, Any]:
    """Return what a parser found, by name; families without samples left out."""
    found = {}
    for family in families:
        rows = {
            (s.name, frozenset(s.labels.items())): (s.value, s.exemplar) for s in family.samples
        }
        if rows:
            assert family.name not in found
            found[family.name] = (family.documentation, family.type, rows)
    return found


def crowd(*, traced: bool = False) -> Watch:
    """Return VMs in all conditions, to which every event has happened; most of it traced."""
    names = ("web", HOSTILE, "gone", "never")
    watch = Watch(*(f"/run/{name}.sock" for name in names))
    for name in names[:3]:
        address = f"/run/{name}.sock"
        inputs: list[Input] = [
            connected(0, name=name, monitor=address),
            status("running", 0),
            blocks(drive(f"disk of {name}"), drive(HOSTILE)),
            *[event(s.name, data, n) for n, s in enumerate(EVENTS) for data in s.samples],
            event("VCPU_MELTED", {}, 50),
            vnc("CONNECTED", "5000", 51),
            event("STOP", at=52),
            status("paused", 52),
        ]
        for number, one in enumerate(inputs):
            watch.feed(one, address, trace(number) if traced and number % 5 else None)
    watch.feed(lost(60), "/run/gone.sock")
    watch.feed(link(TargetState.GONE, 61), "/run/gone.sock", trace(61) if traced else None)
    watch.sink.decode_error("web", "STOP")
    return watch
