"""Log records and span events as bytes: protobuf reads them back as the SDK would write them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import SeverityNumber
from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource

from builders import SOME
from qmp_exporter.telemetry.otel.events import Description, Logger, Record, SpanEvent, on_span


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
VALUES = TEXTS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
ATTRIBUTES = st.dictionaries(TEXTS, VALUES, max_size=8)
SEVERITIES = st.sampled_from([one.value for one in SeverityNumber])
TIMES = st.integers(0, 2**64 - 1)
ON = st.tuples(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1))
DESCRIPTIONS = st.builds(Description, TEXTS, SEVERITIES, TEXTS, ATTRIBUTES)


def attributes(message: Any) -> dict[str, Any]:
    """Return the attributes of a message, of their types."""
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in message.attributes
    }


def typed(values: Any) -> dict[str, tuple[type, Any]]:
    """Return values with their types: 1 and True are not the same."""
    return {name: (type(value), value) for name, value in values.items()}


@SOME
@given(DESCRIPTIONS, st.lists(TIMES, min_size=1, max_size=4))
def test_events_of_a_span(description: Description, times: list[int]) -> None:
    """All that are alike have the same name and attributes, and each its time."""
    found = Span.FromString(b"".join(map(description.event, times))).events
    assert [event.time_unix_nano for event in found] == times
    for event in found:
        assert event.name == description.name
        assert typed(attributes(event)) == typed(description.attributes)
        assert event.dropped_attributes_count == 0


@SOME
@given(DESCRIPTIONS, TIMES, TIMES, ON)
def test_log_records(
    description: Description, time: int, observed: int, on: tuple[int, int]
) -> None:
    """On a span and on none: all fields are what they are."""
    trace_id, span_id = on[0].to_bytes(16, "big"), on[1].to_bytes(8, "big")
    written = description.record(time, observed, b"") + description.record(
        time, observed, on_span(trace_id.hex(), span_id.hex())
    )
    bare, spanned = ScopeLogs.FromString(written).log_records
    assert (bare.trace_id, bare.span_id, bare.flags) == (b"", b"", 0)
    assert (spanned.trace_id, spanned.span_id, spanned.flags) == (trace_id, span_id, 1)
    for record in (bare, spanned):
        assert (record.time_unix_nano, record.observed_time_unix_nano) == (time, observed)
        assert record.severity_number == description.severity
        assert record.body.string_value == description.body
        assert record.event_name == description.name
        assert typed(attributes(record)) == typed(description.attributes)
    spanned.ClearField("trace_id")
    spanned.ClearField("span_id")
    spanned.ClearField("flags")
    assert bare == spanned


def test_what_is_alike_is_encoded_once(monkeypatch: Any) -> None:
    """A storm of one event costs its times."""
    description = Description("qemu.x", 9, "X", {"a": 1, "b": "x"})
    calls: list[int] = []
    plain = Description._pairs
    monkeypatch.setattr(Description, "_pairs", lambda self: calls.append(1) or plain(self))
    for time in range(100):
        description.event(time)
        description.record(time, time, b"")
    assert len(calls) == 2


def test_a_span_event_reads_like_one_of_the_sdk() -> None:
    """By its name, its attributes and its time."""
    event = SpanEvent(Description("qemu.x", 9, "X", {"a": 1}), 5)
    assert (event.name, event.attributes, event.timestamp) == ("qemu.x", {"a": 1}, 5)


def test_a_logger_gives_each_record_to_all() -> None:
    """With the resource of its VM, and when it was made."""
    one: list[Record] = []
    other: list[Record] = []
    resource = Resource({"qemu.vm": "web"})
    Logger(resource, [one.append, other.append]).emit(Description("qemu.x", 9, "X", {}), 5)
    assert one == other
    (record,) = one
    assert (record.resource, record.time, record.on) == (resource, 5, b"")
    assert record.observed > 1_700_000_000 * 10**9
