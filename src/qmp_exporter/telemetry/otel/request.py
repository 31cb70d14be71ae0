"""One request of metrics, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.json_format import MessageToJson  # type: ignore[import-untyped]  # it has none
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric

from qmp_exporter import __version__
from qmp_exporter.catalog.otel import otel_name


if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

    from qmp_exporter.telemetry.otel.ledger import Entry, Receipt
    from qmp_exporter.telemetry.samples import About


SCOPE: Final = InstrumentationScope(name="qmp_exporter", version=__version__)

MOST_BYTES: Final = 1 << 18
"""Of points in a request, some 1,700: protobuf reads and writes them in less time than the event
loop has to wait anyway. A gRPC server takes 4 MiB if it is not told otherwise."""


class Request:
    """What is to be sent at once.

    Args:
        resource: what is said of the exporter itself.
        delta: the kinds of metrics that are sent as differences.
    """

    def __init__(self, resource: Resource, delta: frozenset[str]) -> None:
        self._resource = resource
        self._delta = delta
        self._points = self._size = 0
        self._metrics: dict[About, list[bytes]] = {}
        self._gone: list[tuple[About, bytes]] = []
        self._receipts: list[Receipt] = []

    def __len__(self) -> int:
        """How many points there are."""
        return self._points

    def takes(self, entry: Entry) -> bool:
        """Return whether there is room."""
        return not self._points or self._size + _size(entry) <= MOST_BYTES

    def add(self, entry: Entry) -> None:
        """Add points."""
        self._metrics.setdefault(entry.about, []).extend(entry.points)
        self._gone.extend((entry.about, point) for point in entry.gone)
        self._points += len(entry.points) + len(entry.gone)
        self._size += _size(entry)
        if entry.receipt is not None:
            self._receipts.append(entry.receipt)

    def message(self) -> ExportMetricsServiceRequest:
        """Return it as it is sent."""
        found = ExportMetricsServiceRequest()
        whole = found.resource_metrics.add(resource=self._resource)
        metrics = whole.scope_metrics.add(scope=SCOPE).metrics
        for about, points in self._metrics.items():
            if points:
                self._write(metrics.add(), about, points)
        for about, point in self._gone:
            # Each for itself: the Collector's Prometheus exporter (0.155) skips what comes in a
            # metric after such a point.
            self._write(metrics.add(), about, (point,))
        return found

    def to_json(self, indent: int | None = None) -> str:
        """Return it as OTLP's JSON, for the exporter to the console."""
        found: str = MessageToJson(self.message(), indent=indent)
        return found

    def arrived(self) -> None:
        """Keep what that means for the next one."""
        for receipt in self._receipts:
            receipt.keep()

    def _write(self, metric: Metric, about: About, points: Iterable[bytes]) -> None:
        metric.name, metric.unit = otel_name(about.name)
        metric.description = about.help
        temporality = (
            AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
            if about.kind in self._delta
            else AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        )
        written = b"".join(points)
        if about.kind == "counter":
            metric.sum.MergeFromString(written)
            metric.sum.aggregation_temporality = temporality
            metric.sum.is_monotonic = True
        elif about.kind == "histogram":
            metric.histogram.MergeFromString(written)
            metric.histogram.aggregation_temporality = temporality
        else:
            metric.gauge.MergeFromString(written)


def _size(entry: Entry) -> int:
    return sum(map(len, entry.points)) + sum(map(len, entry.gone))
