"""What is read from a VM's series: rows of its state, and all its samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qmp_exporter.catalog.metrics import ALL_VM_METRICS, LAST_EVENT
from qmp_exporter.catalog.spec import Sampled
from qmp_exporter.telemetry.samples import About, Samples


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qmp_exporter.catalog.metrics import VmMetric
    from qmp_exporter.catalog.spec import Values
    from qmp_exporter.sinks.series import Series
    from qmp_exporter.telemetry.samples import Row


def about(name: str, help_: str) -> About:
    """Return what a metric of a VM, or of all, is: counters are those in ``_total``."""
    return About(name, "counter" if name.endswith("_total") else "gauge", help_)


def ticks(metric: object) -> bool:
    """Whether a metric can change with time alone."""
    return isinstance(metric, Sampled) and metric.ticks


def read(series: Series, metric: VmMetric, now: float) -> Iterable[tuple[Values, float]]:
    """Return the rows of a metric that is read from the state of its VM."""
    if isinstance(metric, Sampled):
        rows = metric.read(series.vm, now)
        return series.risen(metric.name, rows) if metric.ticks else rows
    if metric is LAST_EVENT:
        return () if series.last_event is None else (((), series.last_event),)
    readings = series.vm.readings.get(metric.name, {})
    return [(values, reading.value) for values, reading in readings.items()]


def further(series: Series, metric: VmMetric) -> tuple[tuple[str, str], ...]:
    """Return names and values of the labels that the configuration gives a metric."""
    if isinstance(metric, Sampled) and metric.further is not None:
        return metric.further(series.vm)
    return ()


def text(series: Series, metric: VmMetric, now: float) -> str:
    """Return these rows as lines of the exposition format."""
    labels = tuple(label.name for label in metric.labels)
    rows = read(series, metric, now)
    if more := further(series, metric):
        return series.further(metric.name, labels, rows, more)
    return series.lines(metric.name, labels, rows)


def samples(series: Series, metrics: Sequence[About], now: float) -> Iterator[Samples]:
    """Yield all that is shown of a VM, in the order of the catalog.

    Args:
        series: the VM's.
        metrics: what each metric is.
        now: monotonic seconds.
    """
    for what, metric, table in zip(metrics, ALL_VM_METRICS, series.tables, strict=True):
        rows: Sequence[Row]
        if table is not None:
            labels = table.labels
            rows = table.numbers(series.name)
        else:
            more = further(series, metric)
            told = tuple(value for _, value in more)
            labels = ("vm", *(label.name for label in metric.labels), *(n for n, _ in more))
            rows = [((series.name, *v, *told), number) for v, number in read(series, metric, now)]
        if rows:
            yield Samples(what, series, labels, rows)
