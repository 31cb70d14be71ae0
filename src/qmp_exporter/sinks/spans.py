"""The spans sink: what is under way in each VM as spans, with the events that belong to them.

It is imported only where spans are exported, as OpenTelemetry is large.
"""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

from qmp_exporter.model.event import Event
from qmp_exporter.model.operation import (
    Began,
    Crowded,
    Ended,
    Fact,
    Noted,
    Told,
    Underway,
)
from qmp_exporter.model.underway import close, follow, tick
from qmp_exporter.sinks import NOBODY, Trace
from qmp_exporter.sinks.attributes import ERROR_TYPE, nanoseconds, plain
from qmp_exporter.telemetry.otel.events import SpanEvent


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.trace import Span, Tracer

    from qmp_exporter.model.inputs import Identity, Input
    from qmp_exporter.model.vm import VM, Step
    from qmp_exporter.sinks.attributes import Describer


LINK: Final = "qmp_exporter.link"
"""Attribute of a link: what the other span is to this one, ``cause`` or ``previous``."""


class SpansSink:
    """Makes spans of what is under way in VMs.

    Args:
        tracer: from who answers at a monitor, and the VM's name, to the tracer of that VM.
        describe: from an event and its VM to what is told of it.
        events: whether events are shown on spans; else only the spans are.
        crowded: called with the name of an operation whose event finds no span, as there are too
            many.
    """

    name: Final = "spans"

    def __init__(
        self,
        tracer: Callable[[Identity, str], Tracer],
        describe: Describer,
        *,
        events: bool,
        crowded: Callable[[str], None],
    ) -> None:
        self._tracer = tracer
        self._describe = describe
        self._events = events
        self._crowded = crowded
        self._vms: dict[str, _Spans] = {}

    def add(self, vm: str, state: VM = NOBODY) -> None:
        """Take in a VM: nothing is under way in it that was seen."""
        self._vms[vm] = _Spans(vm, state)

    def take(
        self,
        vm: str,
        given: Input,
        before: VM,
        step: Step,
        trace: Trace | None,  # noqa: ARG002 - a sink
    ) -> Trace | None:
        """Make spans of a step; return the span that the step is on, if that is exported."""
        spans = self._vms[vm]
        spans.vm = step.vm
        spans.known, facts = follow(spans.known, given, before, step)
        if not facts:
            return None
        event = given if isinstance(given, Event) else None
        for fact in facts:
            self._do(spans, fact, event)
        kind = Told if event is None else Noted
        on = next((fact.id for fact in facts if isinstance(fact, kind)), None)
        found = None if on is None else spans.trace(on)
        spans.forget()
        return found

    def tick(self, now: float) -> None:
        """End what has lasted long enough; ``now`` in monotonic seconds."""
        for spans in self._vms.values():
            if spans.known.spans or spans.known.closing:
                spans.known, facts = tick(spans.known, time(), now)
                for fact in facts:
                    self._do(spans, fact, None)
                spans.forget()

    def rename(self, old: str, new: str) -> None:
        """Go on under another name; what was under way under that one is not seen to end."""
        spans = self._vms.pop(old)
        if new in self._vms:
            self._close(self._vms[new])
        spans.rename(new)
        self._vms[new] = spans

    def forget(self, vm: str) -> None:
        """End what is under way in a VM, unseen."""
        self._close(self._vms.pop(vm))

    def close(self) -> None:
        """End everything, unseen."""
        for spans in self._vms.values():
            self._close(spans)

    def _close(self, spans: _Spans) -> None:
        spans.known, facts = close(spans.known, time())
        for fact in facts:
            self._do(spans, fact, None)
        spans.forget()

    def _do(self, spans: _Spans, fact: Fact, event: Event | None) -> None:
        match fact:
            case Began():
                spans.begin(fact, self._tracer)
            case Noted(id=number, cause=cause) if event is not None and (cause or self._events):
                description = self._describe(event, spans.vm, cause)
                span = spans.open[number]
                if self._events and isinstance(span, SdkSpan):
                    # Not add_event(), which takes ten times as long to look at each attribute:
                    # ours are within all limits, and are shared with the log record.
                    noted: Any = SpanEvent(description, nanoseconds(event.time))
                    span._add_event(noted)  # noqa: SLF001 - as above
            case Told(id=number, attributes=attributes, error=error):
                span = spans.open[number]
                span.set_attributes(_plain(attributes))
                if error:
                    span.set_attribute(ERROR_TYPE, error)
                    span.set_status(Status(StatusCode.ERROR))
            case Ended(id=number, time=at):
                spans.open.pop(number).end(nanoseconds(at))
            case Crowded(name=name):
                self._crowded(name)


class _Spans:
    """The spans of one VM.

    Attributes:
        vm: its state.
        known: what is under way in it.
        open: its spans that have not ended, by the ids of ``known``.
    """

    __slots__ = ("_contexts", "_identity", "_name", "_tracer", "known", "open", "vm")

    def __init__(self, name: str, vm: VM) -> None:
        self._name = name
        self._identity: Identity | None = None
        self._tracer: Tracer | None = None
        self._contexts: dict[int, tuple[SpanContext, Trace | None]] = {}
        self.vm = vm
        self.known = Underway()
        self.open: dict[int, Span] = {}

    def rename(self, name: str) -> None:
        self._name, self._tracer = name, None

    def begin(self, fact: Began, tracer: Callable[[Identity, str], Tracer]) -> None:
        """Begin a span."""
        identity = self.vm.identity
        if identity is None:  # no event comes before it
            self.open[fact.id] = INVALID_SPAN
            return
        if self._tracer is None or identity != self._identity:
            self._tracer, self._identity = tracer(identity, self._name), identity
        parent = None
        if fact.parent in self._contexts:
            parent = set_span_in_context(NonRecordingSpan(self._contexts[fact.parent][0]))
        attributes = dict(_plain(fact.attributes))
        if fact.error:
            attributes[ERROR_TYPE] = fact.error
        links = [
            Link(self._contexts[other][0], {LINK: why})
            for other, why in ((fact.cause, "cause"), (fact.previous, "previous"))
            if other is not None and self.trace(other)  # else it would lead nowhere
        ]
        span = self._tracer.start_span(
            fact.name, parent, attributes=attributes, links=links, start_time=nanoseconds(fact.time)
        )
        if fact.error:
            span.set_status(Status(StatusCode.ERROR))
        self.open[fact.id] = span
        context = span.get_span_context()
        trace = None
        if context.trace_flags.sampled:
            trace = Trace(format_trace_id(context.trace_id), format_span_id(context.span_id))
        self._contexts[fact.id] = context, trace

    def trace(self, number: int) -> Trace | None:
        """Return where a span stands, if it is exported."""
        return self._contexts[number][1] if number in self._contexts else None

    def forget(self) -> None:
        """Drop the contexts that no span can have to do with any more."""
        if len(self._contexts) > len(self.open):
            kept = self.known.remembered
            for number in self._contexts.keys() - kept:
                del self._contexts[number]


def _plain(attributes: Mapping[str, object]) -> dict[str, str | int | float | bool]:
    found = {name: plain(value) for name, value in attributes.items()}
    return {name: value for name, value in found.items() if value is not None}
