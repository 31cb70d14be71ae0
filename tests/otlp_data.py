"""What an OTLP receiver got, decoded from protobuf to plain data."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.metrics.v1.metrics_pb2 import DataPointFlags


if TYPE_CHECKING:
    from collections.abc import Iterator

Signal = Literal["traces", "logs", "metrics"]
Attributes = dict[str, Any]

STATUSES = ("unset", "ok", "error")
KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
TEMPORALITIES = ("unspecified", "delta", "cumulative")


class Scope(msgspec.Struct, frozen=True):
    """What made it."""

    name: str
    version: str


class Link(msgspec.Struct, frozen=True):
    """A link of a span; ids are hex digits."""

    trace_id: str
    span_id: str
    attributes: Attributes


class SpanEvent(msgspec.Struct, frozen=True):
    """An event of a span; times are Unix nanoseconds, as everywhere here."""

    name: str
    time: int
    attributes: Attributes


class Span(msgspec.Struct, frozen=True):
    """A span; ``parent_id`` is empty for a root, ``status`` one of ``STATUSES``."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: str
    start: int
    end: int
    attributes: Attributes
    events: tuple[SpanEvent, ...]
    links: tuple[Link, ...]
    status: str
    message: str
    dropped: tuple[int, int, int]
    resource: Attributes
    scope: Scope

    def event(self, name: str) -> SpanEvent:
        """Its only event of that name."""
        (found,) = (event for event in self.events if event.name == name)
        return found


class LogRecord(msgspec.Struct, frozen=True):
    """A log record; ids are empty where it is of no span."""

    event: str
    time: int
    observed: int
    severity: int
    severity_text: str
    body: Any
    attributes: Attributes
    dropped: int
    trace_id: str
    span_id: str
    resource: Attributes
    scope: Scope


class Exemplar(msgspec.Struct, frozen=True):
    """An exemplar of a point."""

    value: float
    time: int
    trace_id: str
    span_id: str
    attributes: Attributes


class Point(msgspec.Struct, frozen=True):
    """A data point; of a histogram, ``value`` is the sum; ``gone``: a series that is no more."""

    attributes: Attributes
    value: float
    start: int
    time: int
    exemplars: tuple[Exemplar, ...] = ()
    count: int = 0
    bounds: tuple[float, ...] = ()
    buckets: tuple[int, ...] = ()
    gone: bool = False


class Metric(msgspec.Struct, frozen=True):
    """A metric of one export; ``kind`` is ``gauge``, ``sum`` or ``histogram``."""

    name: str
    description: str
    unit: str
    kind: str
    monotonic: bool
    temporality: str
    points: tuple[Point, ...]
    resource: Attributes
    scope: Scope

    def point(self, **attributes: Any) -> Point:
        """Its only point that has these attributes."""
        (found,) = (p for p in self.points if attributes.items() <= p.attributes.items())
        return found


class Request(msgspec.Struct, frozen=True):
    """A request; names of headers are in lower case, ``client`` is the name in its certificate."""

    signal: Signal
    protocol: Literal["http", "grpc"]
    path: str
    headers: dict[str, str]
    client: str
    items: tuple[Any, ...]


def spans(request: trace_service_pb2.ExportTraceServiceRequest) -> Iterator[Span]:
    """Yield the spans of a request."""
    for resource, scope, span in _flat(request.resource_spans, "scope_spans", "spans"):
        yield Span(
            span.name,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            KINDS[span.kind],
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            _attributes(span.attributes),
            tuple(
                SpanEvent(e.name, e.time_unix_nano, _attributes(e.attributes)) for e in span.events
            ),
            tuple(
                Link(one.trace_id.hex(), one.span_id.hex(), _attributes(one.attributes))
                for one in span.links
            ),
            STATUSES[span.status.code],
            span.status.message,
            (
                span.dropped_attributes_count,
                span.dropped_events_count,
                span.dropped_links_count,
            ),
            resource,
            scope,
        )


def records(request: logs_service_pb2.ExportLogsServiceRequest) -> Iterator[LogRecord]:
    """Yield the log records of a request."""
    for resource, scope, record in _flat(request.resource_logs, "scope_logs", "log_records"):
        yield LogRecord(
            record.event_name,
            record.time_unix_nano,
            record.observed_time_unix_nano,
            record.severity_number,
            record.severity_text,
            _value(record.body),
            _attributes(record.attributes),
            record.dropped_attributes_count,
            record.trace_id.hex(),
            record.span_id.hex(),
            resource,
            scope,
        )


def metrics(request: metrics_service_pb2.ExportMetricsServiceRequest) -> Iterator[Metric]:
    """Yield the metrics of a request."""
    for resource, scope, metric in _flat(request.resource_metrics, "scope_metrics", "metrics"):
        kind = metric.WhichOneof("data")
        data = getattr(metric, kind)
        yield Metric(
            metric.name,
            metric.description,
            metric.unit,
            kind,
            getattr(data, "is_monotonic", False),
            TEMPORALITIES[getattr(data, "aggregation_temporality", 0)],
            tuple(map(_point, data.data_points)),
            resource,
            scope,
        )


def _flat(resources: Any, scopes: str, items: str) -> Iterator[tuple[Attributes, Scope, Any]]:
    for one in resources:
        resource = _attributes(one.resource.attributes)
        for group in getattr(one, scopes):
            scope = Scope(group.scope.name, group.scope.version)
            for item in getattr(group, items):
                yield resource, scope, item


def _point(point: Any) -> Point:
    common = (
        point.start_time_unix_nano,
        point.time_unix_nano,
        tuple(map(_exemplar, point.exemplars)),
    )
    if hasattr(point, "bucket_counts"):
        more = (point.count, tuple(point.explicit_bounds), tuple(point.bucket_counts))
        return Point(_attributes(point.attributes), point.sum, *common, *more)
    if point.flags & DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK:
        return Point(_attributes(point.attributes), nan, *common, gone=True)
    return Point(_attributes(point.attributes), _number(point), *common)


def _exemplar(found: Any) -> Exemplar:
    return Exemplar(
        _number(found),
        found.time_unix_nano,
        found.trace_id.hex(),
        found.span_id.hex(),
        _attributes(found.filtered_attributes),
    )


def _number(found: Any) -> float:
    return float(getattr(found, found.WhichOneof("value")))


def _attributes(pairs: Any) -> Attributes:
    found = {pair.key: _value(pair.value) for pair in pairs}
    assert len(found) == len(pairs), "an attribute twice"
    return found


def _value(value: Any) -> Any:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_value(one) for one in value.array_value.values]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case kind:
            return getattr(value, kind)


class Service(msgspec.Struct, frozen=True):
    """What a signal has in OTLP: its messages, how they are decoded, and its service of gRPC."""

    request: Any
    answer: Any
    decode: Any
    register: Any
    rejected: str

    def items(self, request: Any) -> tuple[Any, ...]:
        """What is in a request."""
        return tuple(self.decode(request))

    def answered(self, rejected: int = 0) -> Any:
        """The answer to a request that was taken, but for so many items."""
        found = self.answer()
        if rejected:
            setattr(found.partial_success, self.rejected, rejected)
            found.partial_success.error_message = "as the test says"
        return found


SERVICES: dict[Signal, Service] = {
    "traces": Service(
        trace_service_pb2.ExportTraceServiceRequest,
        trace_service_pb2.ExportTraceServiceResponse,
        spans,
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server,
        "rejected_spans",
    ),
    "logs": Service(
        logs_service_pb2.ExportLogsServiceRequest,
        logs_service_pb2.ExportLogsServiceResponse,
        records,
        logs_service_pb2_grpc.add_LogsServiceServicer_to_server,
        "rejected_log_records",
    ),
    "metrics": Service(
        metrics_service_pb2.ExportMetricsServiceRequest,
        metrics_service_pb2.ExportMetricsServiceResponse,
        metrics,
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server,
        "rejected_data_points",
    ),
}
