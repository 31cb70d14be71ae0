"""Lets the SDK's exporters send what we put together.

They would take the SDK's own data model, of which encode.py and events.py say why it is not used.
Private members of opentelemetry 1.45 that this relies on: ``encode_spans`` and ``encode_logs`` in
the modules of the exporters; ``_encode_span``, ``_encode_events`` and ``_encode_resource`` of the
encoders; ``_events`` of a span. Of the exporter of metrics over HTTP, ``_export_batch``; of
that over gRPC, ``_export``, ``_translate_data`` and ``_count_data``. A test fails when one is
missing.
"""

from __future__ import annotations

import copy
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from opentelemetry.exporter.otlp.proto.common._internal import _encode_resource
from opentelemetry.exporter.otlp.proto.common._internal import trace_encoder as theirs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from qmp_exporter.telemetry.otel.encode import varint
from qmp_exporter.telemetry.otel.events import SpanEvent
from qmp_exporter.telemetry.otel.request import SCOPE


if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan

    from qmp_exporter.telemetry.otel.events import Record
    from qmp_exporter.telemetry.otel.request import Request


_SPAN: Final = b"\x12"  # spans, which is field 2 of ScopeSpans


class _Item(Protocol):
    @property
    def resource(self) -> Resource:
        """Of the VM."""


T = TypeVar("T", bound=_Item)


def exporters_of_ours(name: str) -> Any:
    """Return a module of the SDK whose exporters of spans and log records send ours.

    It is a copy: others in this process may export what is the SDK's.

    Args:
        name: of the module.
    """
    spec = find_spec(name)
    assert spec is not None  # noqa: S101 - a dependency, or an extra that was imported before
    assert spec.loader is not None  # noqa: S101 - as above
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    for encode in (encode_spans, encode_logs):
        if hasattr(module, encode.__name__):
            setattr(module, encode.__name__, encode)
    return module


def take_messages(exporter: Any) -> Any:
    """Return an exporter of metrics, whose ``export`` takes a ``Request`` from now on."""
    if hasattr(exporter, "_export_batch"):
        send = exporter._export_batch  # noqa: SLF001 - see above
    else:
        send = exporter._export  # noqa: SLF001 - see above
        exporter._translate_data = lambda message: message  # noqa: SLF001 - see above
        exporter._count_data = lambda _: 0  # noqa: SLF001 - see above; we count ourselves

    def export(request: Request) -> Any:
        return send(request.message())

    exporter.export = export
    return exporter


def encode_logs(batch: Sequence[Record]) -> ExportLogsServiceRequest:
    """Return log records as they are sent."""
    found = ExportLogsServiceRequest()
    for resource, records in _by_resource(batch):
        whole = found.resource_logs.add(resource=_encode_resource(resource))
        written = [one.description.record(one.time, one.observed, one.on) for one in records]
        whole.scope_logs.add(scope=SCOPE).MergeFromString(b"".join(written))
    return found


def encode_spans(batch: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
    """Return spans as they are sent."""
    found = ExportTraceServiceRequest()
    for resource, spans in _by_resource(batch):
        whole = found.resource_spans.add(resource=_encode_resource(resource))
        whole.scope_spans.add(scope=SCOPE).MergeFromString(b"".join(map(_span, spans)))
    return found


def _span(span: ReadableSpan) -> bytes:
    bare: Any = copy.copy(span)
    bare._events = ()  # noqa: SLF001 - see above
    message = theirs._encode_span(bare)  # noqa: SLF001 - see above
    message.dropped_events_count = span.dropped_events
    events = [
        one.description.event(one.timestamp) if isinstance(one, SpanEvent) else _event(one)
        for one in span.events
    ]
    written = message.SerializeToString() + b"".join(events)
    found: bytes = _SPAN + varint(len(written)) + written
    return found


def _event(event: Event) -> bytes:
    """Return an event of the SDK as one of a span."""
    found: bytes = SpanMessage(events=theirs._encode_events([event])).SerializeToString()  # noqa: SLF001
    return found


def _by_resource(batch: Iterable[T]) -> Iterable[tuple[Resource, list[T]]]:
    found: dict[Resource, list[T]] = {}
    for item in batch:
        found.setdefault(item.resource, []).append(item)
    return found.items()
