"""What OpenTelemetry is told of events: log records, and events on spans, as bytes of OTLP.

A storm makes thousands of both a second, which are alike but for their times. The SDK would make
some twenty objects of each and copy them twice; here, what they share is encoded once, and what is
around them is left to protobuf.

Source: open-telemetry/opentelemetry-proto, logs/v1/logs.proto and trace/v1/trace.proto.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from time import time_ns
from typing import TYPE_CHECKING, Final

import msgspec
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as LogRecordMessage
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber as SeverityNumberMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.trace import TraceFlags

from qmp_exporter.telemetry.otel.encode import varint


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.sdk.resources import Resource

    from qmp_exporter.model.operation import Value


SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)

# As in encode.py, a tag is the number of a field times 8, and 1 for 8 bytes or 2 for a length.
_EVENT: Final = b"\x5a"  # events, which is field 11 of Span
_RECORD: Final = b"\x12"  # log_records, which is field 2 of ScopeLogs
_EVENT_TIME: Final = Struct("<BQ")  # time_unix_nano
_RECORD_TIMES: Final = Struct("<BQBQ")  # time_unix_nano, observed_time_unix_nano
_TIME, _OBSERVED = 1 * 8 + 1, 11 * 8 + 1


class Description:
    """What is told of all events that are alike but for their times.

    Args:
        name: of the event, in OpenTelemetry.
        severity: of the log record.
        body: of the log record.
        attributes: of both, which are within all limits, and are not to be changed.
    """

    __slots__ = ("_event", "_record", "attributes", "body", "name", "severity")

    def __init__(
        self,
        name: str,
        severity: int,
        body: str,
        attributes: Mapping[str, Value],
    ) -> None:
        self.name = name
        self.severity = severity
        self.body = body
        self.attributes = attributes
        self._event: tuple[bytes, bytes] | None = None
        self._record: tuple[dict[int, bytes], bytes] | None = None

    def event(self, time: int) -> bytes:
        """Return an event as one of a span; ``time`` in Unix nanoseconds."""
        if self._event is None:
            rest = SpanMessage.Event(name=self.name, attributes=self._pairs()).SerializeToString()
            self._event = _EVENT + varint(_EVENT_TIME.size + len(rest)), rest
        head, rest = self._event
        return head + _EVENT_TIME.pack(_TIME, time) + rest

    def record(self, time: int, observed: int, on: bytes) -> bytes:
        """Return an event as a log record of a scope.

        Args:
            time: Unix nanoseconds.
            observed: Unix nanoseconds at which we knew of it.
            on: the span that it is on, from ``on_span``; nothing if there is none.
        """
        if self._record is None:
            body = AnyValue(string_value=self.body)
            rest = LogRecordMessage(
                severity_number=SeverityNumberMessage.ValueType(self.severity),
                body=body,
                attributes=self._pairs(),
                event_name=self.name,
            ).SerializeToString()
            fixed = _RECORD_TIMES.size + len(rest)
            heads = {size: _RECORD + varint(fixed + size) for size in (0, _ON)}
            self._record = heads, rest
        heads, rest = self._record
        times = _RECORD_TIMES.pack(_TIME, time, _OBSERVED, observed)
        return b"".join((heads[len(on)], times, rest, on))

    def _pairs(self) -> list[KeyValue]:
        return [KeyValue(key=k, value=_value(v)) for k, v in self.attributes.items()]


class SpanEvent(msgspec.Struct, frozen=True, gc=False):
    """An event on a span of the SDK, which takes it for one of its own.

    Attributes:
        description: of the event.
        timestamp: Unix nanoseconds.
    """

    description: Description
    timestamp: int

    @property
    def name(self) -> str:
        """Of the event."""
        return self.description.name

    @property
    def attributes(self) -> Mapping[str, Value]:
        """Of the event."""
        return self.description.attributes

    @property
    def dropped_attributes(self) -> int:
        """None: what is too much is not described."""
        return 0


class Record(msgspec.Struct, frozen=True, gc=False):
    """A log record that waits to be exported.

    Attributes:
        resource: of the VM.
        description: of the event.
        time: Unix nanoseconds.
        observed: Unix nanoseconds at which we knew of it.
        on: the span that it is on, as ``on_span`` has it.
    """

    resource: Resource
    description: Description
    time: int
    observed: int
    on: bytes = b""

    def readable(self) -> ReadableLogRecord:
        """Return it as the SDK has one."""
        on = LogRecordMessage.FromString(self.on)
        told = LogRecord(
            timestamp=self.time,
            observed_timestamp=self.observed,
            trace_id=int.from_bytes(on.trace_id, "big"),
            span_id=int.from_bytes(on.span_id, "big"),
            trace_flags=SAMPLED if self.on else TraceFlags.get_default(),
            severity_number=SeverityNumber(self.description.severity),
            body=self.description.body,
            attributes=self.description.attributes,
        )
        told.event_name = self.description.name
        return ReadableLogRecord(told, self.resource)

    def to_json(self, indent: int | None = None) -> str:
        """Return it as the SDK's exporter to the console writes one."""
        return self.readable().to_json(indent)


class Logger:
    """Makes the log records of a VM.

    Args:
        resource: of the VM.
        puts: what takes them, in order.
    """

    def __init__(self, resource: Resource, puts: Sequence[Callable[[Record], None]]) -> None:
        self.resource = resource
        self._puts = puts

    def emit(self, description: Description, time: int, on: bytes = b"") -> None:
        """Make a log record.

        Args:
            description: of the event.
            time: Unix nanoseconds.
            on: the span that it is on, from ``on_span``.
        """
        record = Record(self.resource, description, time, time_ns(), on)
        for put in self._puts:
            put(record)


@lru_cache(maxsize=64)  # a span has many in a row
def on_span(trace_id: str, span_id: str) -> bytes:
    """Return what a log record says of the span that it is on, which is sampled.

    Args:
        trace_id: 32 hexadecimal digits.
        span_id: 16 of them.
    """
    found: bytes = LogRecordMessage(
        trace_id=bytes.fromhex(trace_id), span_id=bytes.fromhex(span_id), flags=SAMPLED
    ).SerializeToString()
    return found


def _value(value: Value) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case str():
            return AnyValue(string_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)


_ON: Final = len(on_span("1" * 32, "1" * 16))
