"""Metrics of the exporter as a whole, as prometheus-client families."""

from __future__ import annotations

import platform
import threading
from bisect import bisect_left
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from qmp_exporter import __version__
from qmp_exporter.catalog.own_metrics import OWN_METRICS
from qmp_exporter.catalog.states import TargetState


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client import Metric

    from qmp_exporter.catalog.spec import Own, Values


SINKS: Final = ("metrics", "page")


class Histogram:
    """Counts of observations by bucket; cheap enough for every event.

    Args:
        bounds: upper bounds of the buckets, ascending, without +Inf.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value, in the unit of the bounds."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def observe_all(self, values: list[float]) -> None:
        """Count several values, none of them negative or all that are as 0."""
        least, most = min(values), max(values)
        if least < 0.0:
            values = [max(0.0, value) for value in values]
            least = max(0.0, least)
        bucket = bisect_left(self.bounds, least)
        if bucket == bisect_left(self.bounds, most):  # as those of a storm are
            self.counts[bucket] += len(values)
        else:
            for value in values:
                self.counts[bisect_left(self.bounds, value)] += 1
        self.total += sum(values)

    def buckets(self) -> list[tuple[str, float]]:
        """Return the cumulative counts as prometheus-client takes them."""
        cumulative = 0
        found = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), list(self.counts), strict=True):
            cumulative += count
            found.append((bound, float(cumulative)))
        return found


class SelfMetrics(Collector):
    """The values of ``OWN_METRICS``.

    Counters are added to, gauges that are there are set and all is collected in any thread; the
    rest is written on the event loop.

    Attributes:
        before: called before all is collected, in any thread, to set what is kept elsewhere.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.before: list[Callable[[], None]] = []
        self._specs = {spec.name: spec for spec in OWN_METRICS}
        self._numbers: dict[str, dict[Values, float]] = {name: {} for name in self._specs}
        self._histograms: dict[str, dict[Values, Histogram]] = {name: {} for name in self._specs}
        versions = (__version__, platform.python_version(), version("qemu.qmp"))
        self.set("qmp_exporter_build_info", 1, *versions)
        for spec in OWN_METRICS:
            if spec.kind == "counter" and not spec.labels:
                self.add(spec.name, 0)
        self.preset("qmp_exporter_targets", TargetState)
        self.preset("qmp_exporter_sink_errors_total", SINKS)
        for spec in OWN_METRICS:
            if spec.kind == "histogram" and not spec.labels:
                self.histogram(spec.name)

    def add(self, name: str, amount: float, *labels: str) -> None:
        """Add to a counter or gauge; from any thread."""
        rows = self._numbers[name]
        with self._lock:
            rows[labels] = rows.get(labels, 0) + amount

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        self._numbers[name][labels] = value

    def preset(self, name: str, values: Iterable[str]) -> None:
        """Let a counter or gauge of one label be there at 0 for these values of it."""
        for value in values:
            self.add(name, 0, value)

    def rows(self, name: str) -> dict[Values, float]:
        """Return the values of a counter or gauge by their labels."""
        return dict(self._numbers[name])

    def histogram(self, name: str, *labels: str) -> Histogram:
        """Return a histogram to observe with."""
        rows = self._histograms[name]
        if labels not in rows:
            rows[labels] = Histogram(self._specs[name].buckets)
        return rows[labels]

    def describe(self) -> Iterable[Metric]:
        """Return the families without samples, so that ``name[]`` finds them."""
        return [_family(spec) for spec in self._specs.values()]

    def collect(self) -> Iterable[Metric]:
        """Return the families with their samples."""
        for tell in self.before:
            tell()
        for name, spec in self._specs.items():
            family = _family(spec)
            for labels, value in list(self._numbers[name].items()):
                family.add_metric(labels, value)  # type: ignore[attr-defined]
            for labels, rows in list(self._histograms[name].items()):
                family.add_metric(labels, rows.buckets(), rows.total)  # type: ignore[attr-defined]
            yield family


def registry(own: SelfMetrics, *, process: bool) -> CollectorRegistry:
    """Return a registry of ``own`` and, if wanted, of what is known of process and Python."""
    found = CollectorRegistry(auto_describe=True)  # else name[] would not find those of the process
    found.register(own)
    if process:
        ProcessCollector(registry=found)
        PlatformCollector(registry=found)
        GCCollector(registry=found)
    return found


def names_of_process(found: CollectorRegistry) -> set[str]:
    """Return the names of the series of process and Python in a registry."""
    own = {spec.name.removesuffix("_total") for spec in OWN_METRICS}  # as families are named
    return {s.name for m in found.collect() for s in m.samples if m.name not in own}


def _family(spec: Own) -> Metric:
    if spec.kind == "counter":
        return CounterMetricFamily(spec.name, spec.help, labels=spec.labels)
    if spec.kind == "gauge":
        return GaugeMetricFamily(spec.name, spec.help, labels=spec.labels)
    return HistogramMetricFamily(spec.name, spec.help, labels=spec.labels)
