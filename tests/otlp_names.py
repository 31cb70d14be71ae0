"""What comes of OTLP metrics in Prometheus, by the rules of OpenTelemetry.

Source: opentelemetry-specification, compatibility/prometheus_and_openmetrics.md. That the rules are
understood as the Collector understands them is shown by what that made of a push: data/otlp.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from prometheus_client.parser import text_string_to_metric_families


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

UNITS: Final = {"s": "seconds", "By": "bytes"}
GONE: Final = 1


class Family(NamedTuple):
    """A metric as a scrape shows it: samples by name and labels, those without a value left out."""

    kind: str
    help: str
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]


def translate(requests: Iterable[ExportMetricsServiceRequest]) -> dict[str, Family]:
    """Return what the Collector's Prometheus exporter shows after these requests."""
    found: dict[str, Family] = {}
    for request in requests:
        for resource in request.resource_metrics:
            about = _attributes(resource.resource.attributes)
            target = {
                "job": about.pop("service.name"),
                "instance": about.pop("service.instance.id"),
            }
            labels = {re.sub(r"[^A-Za-z0-9_]", "_", name): text for name, text in about.items()}
            info = found.setdefault("target_info", Family("gauge", "Target metadata", {}))
            info.samples[_key("target_info", labels | target)] = 1.0
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    _take(found, metric, target)
    return found


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


def _take(found: dict[str, Family], metric: Any, target: dict[str, str]) -> None:
    data = getattr(metric, metric.WhichOneof("data"))
    kind = {"sum": "counter"}.get(metric.WhichOneof("data"), metric.WhichOneof("data"))
    if kind == "counter":
        assert data.is_monotonic
    name = re.sub(r"[^A-Za-z0-9_:]", "_", metric.name)
    if metric.unit:
        name += f"_{UNITS[metric.unit]}"
    if kind == "counter":
        name += "_total"
    family = found.setdefault(name, Family(kind, metric.description, {}))
    delta = kind != "gauge" and data.aggregation_temporality == 1
    for point in data.data_points:
        labels = target | _attributes(point.attributes)
        for key, value in _samples(name, labels, point, kind):
            if point.flags & GONE:
                family.samples.pop(key, None)
            else:
                before = family.samples.get(key, 0.0) if delta else 0.0
                family.samples[key] = before + value


def _samples(name: str, labels: dict[str, str], point: Any, kind: str) -> Iterator[Any]:
    if kind != "histogram":
        yield _key(name, labels), float(point.as_int or point.as_double)
        return
    below = 0
    bounds = (*point.explicit_bounds, float("inf"))
    for bound, count in zip(bounds, point.bucket_counts, strict=True):
        below += count
        yield _key(f"{name}_bucket", labels | {"le": str(bound)}), float(below)
    yield _key(f"{name}_count", labels), float(point.count)
    yield _key(f"{name}_sum", labels), float(point.sum)


def _attributes(pairs: Any) -> dict[str, str]:
    found = {pair.key: pair.value.string_value for pair in pairs}
    assert len(found) == len(pairs)
    return found


def _key(name: str, labels: dict[str, str]) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset((label, text) for label, text in labels.items() if text)
