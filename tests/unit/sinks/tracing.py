"""A spans sink and a records sink with the SDK behind them, and what they made."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from builders import START
from qmp_exporter.model.apply import apply
from qmp_exporter.model.vm import VM
from qmp_exporter.sinks.attributes import Describer
from qmp_exporter.sinks.records import RecordsSink
from qmp_exporter.sinks.spans import SpansSink
from qmp_exporter.telemetry.otel.events import Logger


if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import Tracer

    from qmp_exporter.model.inputs import Identity, Input
    from qmp_exporter.sinks import Trace
    from qmp_exporter.telemetry.otel.events import Record


class Traced:
    """VMs behind a spans sink and a records sink, in the order that they have.

    Args:
        events: whether events are shown on spans.
        addresses: whether those of clients are told.
        sampler: of the spans.

    Attributes:
        traces: what the spans sink returned for each input, in order.
        asked: the names and identities for which a tracer was asked.
        crowded: operations without a span.
        logged: the log records that wait, in order.
    """

    def __init__(
        self, *, events: bool = True, addresses: bool = False, sampler: Sampler = ALWAYS_ON
    ) -> None:
        self.asked: list[tuple[str, str]] = []
        self.crowded: list[str] = []
        self.traces: list[Trace | None] = []
        self._spans = InMemorySpanExporter()
        self.logged: list[Record] = []
        tracers = TracerProvider(sampler, Resource({}), shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        describe = Describer(addresses=addresses)

        def tracer(identity: Identity, vm: str) -> Tracer:
            self.asked.append((vm, identity.uuid))
            found: Any = copy.copy(tracers.get_tracer("test"))
            found.resource = Resource({"qemu.vm": vm})
            return found  # type: ignore[no-any-return]

        def logger(_: Identity, vm: str) -> Logger:
            return Logger(Resource({"qemu.vm": vm}), [self.logged.append])

        self.sink = SpansSink(tracer, describe, events=events, crowded=self.crowded.append)
        self.logs = RecordsSink(logger, describe)
        self.vms: dict[str, VM] = {}

    def feed(self, *given: Input, vm: str = "web") -> None:
        """Apply inputs to a VM, and hand them to both sinks."""
        if vm not in self.vms:
            self.vms[vm] = VM()
            self.sink.add(vm)
            self.logs.add(vm)
        for one in given:
            step = apply(self.vms[vm], one)
            trace = self.sink.take(vm, one, self.vms[vm], step, None)
            self.logs.take(vm, one, self.vms[vm], step, trace)
            self.vms[vm] = step.vm
            self.traces.append(trace)

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that ended, in that order."""
        return list(self._spans.get_finished_spans())

    def span(self, name: str) -> ReadableSpan:
        """Return the only one of that name."""
        (found,) = (span for span in self.spans if span.name == name)
        return found

    @property
    def records(self) -> list[ReadableLogRecord]:
        """The log records, in order, as the SDK has them."""
        return [record.readable() for record in self.logged]


def at(seconds: float) -> int:
    """Return a second of the test in nanoseconds."""
    return round((START + seconds) * 1e6) * 1000
