"""The series that a scrape of the exporter brings, and their labels.

Source, for those that Prometheus adds: Prometheus documentation, "Jobs and instances".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from qmp_exporter.catalog.metrics import ALL_VM_METRICS, FLEET_METRICS
from qmp_exporter.catalog.own_metrics import OWN_METRICS
from qmp_exporter.catalog.states import OTHER


if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qmp_exporter.catalog.metrics import VmMetric
    from qmp_exporter.catalog.spec import Counter, Label, Own


Values: TypeAlias = frozenset[str] | None
"""The values of a label; None if they are open."""

Labels: TypeAlias = dict[str, Values]
"""The labels of a series, and the values of each."""

SCRAPED: Final[Labels] = {"job": None, "instance": None}
SCRAPES: Final = (
    "up",
    "scrape_duration_seconds",
    "scrape_samples_post_metric_relabeling",
    "scrape_samples_scraped",
    "scrape_series_added",
)
"""What Prometheus adds to every scrape."""


def series(
    vm: Iterable[VmMetric] = ALL_VM_METRICS,
    fleet: Mapping[str, Counter] = FLEET_METRICS,
    own: Iterable[Own] = OWN_METRICS,
) -> dict[str, Labels]:
    """Return the names of all series that a scrape of the exporter brings, and their labels."""
    found: dict[str, Labels] = {name: {} for name in SCRAPES}
    for metric in vm:
        found[metric.name] = {"vm": None, **_bounded(metric.labels)}
    for name, counter in fleet.items():
        found[name] = _bounded(counter.labels)
    for mine in own:
        labels = dict.fromkeys(mine.labels)
        if mine.kind == "histogram":
            found[f"{mine.name}_bucket"] = {**labels, "le": None}
            found[f"{mine.name}_sum"] = found[f"{mine.name}_count"] = {**labels}
        else:
            found[mine.name] = {**labels}
    found |= _of_process()
    return {name: {**SCRAPED, **labels} for name, labels in found.items()}


def _bounded(labels: Iterable[Label]) -> Labels:
    return {one.name: frozenset((*one.values, OTHER)) if one.values else None for one in labels}


def _of_process() -> dict[str, Labels]:
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    samples = [sample for family in registry.collect() for sample in family.samples]
    return {sample.name: dict.fromkeys(sample.labels) for sample in samples}


def either(found: Iterable[Labels]) -> Labels:
    """Return the labels that any of several series have, with the values that any has of each."""
    merged: Labels = {}
    for labels in found:
        for name, values in labels.items():
            known = merged.get(name, frozenset())
            merged[name] = None if values is None or known is None else known | values
    return merged


def without(labels: Labels, names: Iterable[str]) -> Labels:
    """Return all labels but some."""
    gone = set(names)
    return {name: values for name, values in labels.items() if name not in gone}
