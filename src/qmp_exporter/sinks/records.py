"""The records sink: each event as a log record of OpenTelemetry, with the span that it is on.

It is imported only where log records are exported, as OpenTelemetry is large.
"""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any, Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LogRecordLimits, ReadWriteLogRecord
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from qmp_exporter.catalog.events import EVENTS, UNCATALOGUED
from qmp_exporter.catalog.text import label_text
from qmp_exporter.model.event import Event
from qmp_exporter.sinks import NOBODY, Trace
from qmp_exporter.sinks.attributes import name_of, nanoseconds, severity_of
from qmp_exporter.sinks.details import details


if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import Logger

    from qmp_exporter.model.inputs import Identity, Input
    from qmp_exporter.model.vm import VM, Step
    from qmp_exporter.sinks.attributes import Attributes, Describer


_DETAILS: Final = {spec.name: details(spec) for spec in (*EVENTS, UNCATALOGUED)}


class _Record(ReadWriteLogRecord):
    """A record whose attributes are within all limits, so that the SDK need not look at them."""

    def __post_init__(self) -> None:
        pass


class RecordsSink:
    """Emits a log record for each event.

    Args:
        logger: from who answers at a monitor, and the VM's name, to the logger of that VM.
        describe: from an event and its VM to the event's attributes.
    """

    name: Final = "records"

    def __init__(self, logger: Callable[[Identity, str], Logger], describe: Describer) -> None:
        self._logger = logger
        self._describe = describe
        self._vms: dict[str, tuple[Identity, Logger]] = {}
        self._limits = LogRecordLimits()  # once: it reads the environment
        self._last: tuple[Trace, Context] | None = None
        self._told: Attributes | None = None
        self._body = ""

    def add(self, vm: str, state: VM = NOBODY) -> None:
        """Keep nothing until there is an event."""

    def take(self, vm: str, given: Input, before: VM, step: Step, trace: Trace | None) -> None:  # noqa: ARG002 - a sink
        """Emit a record of an event."""
        identity = step.vm.identity
        if not isinstance(given, Event) or identity is None:
            return
        known = self._vms.get(vm)
        if known is None or known[0] != identity:
            known = self._vms[vm] = identity, self._logger(identity, vm)
        attributes = self._describe(given, step.vm)
        if attributes is not self._told:  # as they are of an event that comes again
            told = _DETAILS[given.spec.name](given.data, step.vm)
            self._told, self._body = attributes, f"{label_text(given.name)} {told}".rstrip()
        record = LogRecord(
            timestamp=nanoseconds(given.time),
            observed_timestamp=nanoseconds(time()),
            context=self._context(trace) if trace else None,
            severity_number=SeverityNumber(severity_of(given)),
            body=self._body,
            attributes=attributes,
            event_name=name_of(given),
        )
        logger = known[1]
        ready: Any = _Record(record, logger.resource, logger.instrumentation_scope, self._limits)
        logger.emit(ready)

    def rename(self, old: str, new: str) -> None:
        """Go on under another name: the next record has a logger of that name."""
        self._vms.pop(old, None)
        self._vms.pop(new, None)

    def forget(self, vm: str) -> None:
        """Drop the logger of a VM."""
        self._vms.pop(vm, None)

    def _context(self, trace: Trace) -> Context:
        if self._last is None or self._last[0] is not trace:
            span = NonRecordingSpan(
                SpanContext(
                    int(trace.trace_id, 16),
                    int(trace.span_id, 16),
                    is_remote=False,
                    trace_flags=TraceFlags(TraceFlags.SAMPLED),
                )
            )
            self._last = trace, set_span_in_context(span)
        return self._last[1]
