"""What the SDK's exporters send: what the SDK itself would have sent."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs as their_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as their_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, Status, StatusCode

from builders import SOME
from qmp_exporter.telemetry.otel.events import Description, Record, SpanEvent, on_span
from qmp_exporter.telemetry.otel.messages import encode_logs, encode_spans
from qmp_exporter.telemetry.otel.request import SCOPE
from unit.telemetry.otel.test_events import DESCRIPTIONS, TIMES


RESOURCES = [Resource({"qemu.vm": name, "n": 1}) for name in ("web", "db", "mail")]
WHERE = st.sampled_from(RESOURCES)
ONS = st.sampled_from([b"", on_span("1" * 32, "2" * 16), on_span("f" * 32, "e" * 16)])
RECORDS = st.tuples(WHERE, DESCRIPTIONS, TIMES, TIMES, ONS).map(lambda told: Record(*told))


@SOME
@given(st.lists(RECORDS, max_size=6))
def test_log_records_are_sent_as_the_sdk_sends_them(records: list[Record]) -> None:
    """Grouped by VM; but for the scope, which theirs do not have."""
    found = encode_logs(records)
    for whole in found.resource_logs:
        for scoped in whole.scope_logs:
            assert scoped.scope == SCOPE
            scoped.ClearField("scope")
    assert found == unscoped(their_logs([record.readable() for record in records]))


def unscoped(message: Any) -> Any:
    """Return a request without the scopes of its log records, which are empty."""
    for whole in message.resource_logs:
        for scoped in whole.scope_logs:
            scoped.ClearField("scope")
    return message


def spans(resource: Resource, events: list[SpanEvent], *, most: int) -> list[Any]:
    """Return a span with events, and its child with all else that a span may have."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(
        resource=resource, span_limits=SpanLimits(max_events=most, max_attributes=2)
    )
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer(SCOPE.name, SCOPE.version)
    with tracer.start_as_current_span("parent", attributes={"a": 1, "b": 2, "c": 3}) as parent:
        for event in events:
            parent._add_event(event)  # type: ignore[attr-defined]
        link = Link(parent.get_span_context(), {"why": "cause"})
        with tracer.start_as_current_span("child", links=[link]) as child:
            child.add_event("of the SDK", {"text": "x", "number": 1.5}, 7)
            child.set_status(Status(StatusCode.ERROR, "no"))
    provider.shutdown()
    return list(kept.get_finished_spans())


@SOME
@given(
    st.lists(st.builds(SpanEvent, DESCRIPTIONS, TIMES), max_size=6),
    st.lists(WHERE, min_size=1, max_size=3),
    st.integers(1, 6),
)
def test_spans_are_sent_as_the_sdk_sends_them(
    events: list[SpanEvent], where: list[Resource], most: int
) -> None:
    """With parents, links, errors, events of both kinds, and how many of them were dropped."""
    some = [span for resource in where for span in spans(resource, events, most=most)]
    assert encode_spans(some) == their_spans(some)
    assert [len(span.events) for span in some[1::2]] == [min(len(events), most)] * len(where)


def test_the_console_shows_events_of_spans() -> None:
    """As the SDK writes a span down, with ours for its own."""
    event = SpanEvent(Description("qemu.stop", 9, "STOP", {"a": 1}), 10**9)
    _, parent = spans(RESOURCES[0], [event], most=1)
    shown = {
        "name": "qemu.stop",
        "timestamp": "1970-01-01T00:00:01.000000Z",
        "attributes": {"a": 1},
    }
    assert json.loads(parent.to_json())["events"] == [shown]
