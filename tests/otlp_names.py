"""What comes of OTLP metrics in Prometheus, by the rules of OpenTelemetry.

Source: opentelemetry-specification, compatibility/prometheus_and_openmetrics.md. That the rules are
understood as the Collector understands them is shown by what that made of a push: data/otlp.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from prometheus_client.parser import text_string_to_metric_families


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otlp_data import Metric, Point

UNITS: Final = {"s": "seconds", "By": "bytes"}

Key: TypeAlias = tuple[str, frozenset[tuple[str, str]]]


class Family(NamedTuple):
    """A metric as a scrape shows it: samples by name and labels, those without a value left out."""

    kind: str
    help: str
    samples: dict[Key, float]


def translate(metrics: Iterable[Metric]) -> dict[str, Family]:
    """Return what the Collector's Prometheus exporter shows after it got these, in this order."""
    found: dict[str, Family] = {}
    ends: dict[Key, int] = {}
    for metric in metrics:
        about = dict(metric.resource)
        target = {"job": about.pop("service.name"), "instance": about.pop("service.instance.id")}
        labels = {re.sub(r"[^A-Za-z0-9_]", "_", name): text for name, text in about.items()}
        info = found.setdefault("target_info", Family("gauge", "Target metadata", {}))
        info.samples[_key("target_info", labels | target)] = 1.0
        _take(found, metric, target, ends)
    return {name: family for name, family in found.items() if family.samples}


def read(page: str, *without: str) -> dict[str, Family]:
    """Return a page of the text format.

    Args:
        page: the text.
        without: labels that are left out.
    """
    found = {}
    for family in text_string_to_metric_families(page):
        samples = {}
        for sample in family.samples:
            labels = {n: text for n, text in sample.labels.items() if n not in without}
            if "le" in labels:
                labels["le"] = str(float(labels["le"]))
            samples[_key(sample.name, labels)] = sample.value
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = Family(family.type, family.documentation, samples)
    return found


def _take(
    found: dict[str, Family], metric: Metric, target: dict[str, str], ends: dict[Key, int]
) -> None:
    name = re.sub(r"[^A-Za-z0-9_:]", "_", metric.name)
    if metric.unit:
        name += f"_{UNITS[metric.unit]}"
    if metric.kind == "sum":
        assert metric.monotonic, metric.name
        name += "_total"
    kind = "counter" if metric.kind == "sum" else metric.kind
    family = found.setdefault(name, Family(kind, metric.description, {}))
    for point in metric.points:
        for key, value in _samples(name, target | point.attributes, point):
            if point.gone:
                family.samples.pop(key, None)
                continue
            goes_on = metric.temporality == "delta" and ends.get(key) == point.start
            family.samples[key] = value + (family.samples.get(key, 0.0) if goes_on else 0.0)
            ends[key] = point.time


def _samples(name: str, labels: dict[str, str], point: Point) -> Iterator[tuple[Key, float]]:
    if not point.buckets:
        yield _key(name, labels), point.value
        return
    below = 0
    for bound, count in zip((*point.bounds, float("inf")), point.buckets, strict=True):
        below += count
        yield _key(f"{name}_bucket", labels | {"le": str(bound)}), float(below)
    yield _key(f"{name}_count", labels), float(point.count)
    yield _key(f"{name}_sum", labels), point.value


def _key(name: str, labels: dict[str, str]) -> Key:
    return name, frozenset((label, text) for label, text in labels.items() if text)
