"""Tracers and loggers, one for each VM, over one way out for each signal.

Each provider of the SDK leaves a hook for forks behind for ever, so all VMs share one. What a VM
gets is a copy of its tracer with the VM's resource, which is a private matter of opentelemetry
1.45: ``Tracer.resource``. A test fails when it is missing.
"""

from __future__ import annotations

import copy
import logging
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import NoOpTracer, Tracer

from qmp_exporter.telemetry.otel.batch import Batch
from qmp_exporter.telemetry.otel.counts import Counts
from qmp_exporter.telemetry.otel.events import Logger
from qmp_exporter.telemetry.otel.exporters import ways
from qmp_exporter.telemetry.otel.request import SCOPE
from qmp_exporter.telemetry.otel.resources import of_vm


if TYPE_CHECKING:
    from collections.abc import Callable

    from qmp_exporter.config.otel import Otel, Signal
    from qmp_exporter.model.inputs import Identity
    from qmp_exporter.telemetry.otel.events import Record
    from qmp_exporter.telemetry.self_metrics import SelfMetrics


log = logging.getLogger(__name__)


class Part(Protocol):
    """What has to end in time."""

    def end(self) -> None:
        """Take nothing more, and do at once what is left to do."""

    def close(self, deadline: float) -> int:
        """Wait until it is done, in monotonic seconds; return how many items were given up."""


class Providers:
    """What makes spans and log records, and exports them.

    Args:
        otel: what is exported, and how.
        own: where the counts are shown.

    Attributes:
        traces: whether spans are exported.
        logs: whether log records are.
        counts: of each signal that is exported: ``traces``, ``logs``, ``metrics``.
        parts: what has to end in time, by signal.
    """

    def __init__(self, otel: Otel, own: SelfMetrics | None = None) -> None:
        self._otel = otel
        self.traces, self.logs = otel.traces is not None, otel.logs is not None
        self.counts: dict[str, Counts] = {}
        self.parts: list[tuple[str, Part]] = []
        self._tracer: Tracer = NoOpTracer()
        self._records: list[Batch[Record]] = []
        if otel.traces is not None:
            tracers = TracerProvider(
                _sampler(otel), Resource({}), shutdown_on_exit=False, span_limits=_span_limits(otel)
            )
            for batch in self._batches("traces", otel.traces, _weight):
                tracers.add_span_processor(_Spans(batch))
            self._tracer = tracers.get_tracer(SCOPE.name, SCOPE.version)
        if otel.logs is not None:
            self._records = self._batches("logs", otel.logs)
        if own is not None:
            own.before.append(partial(self._report, own))

    def tracer(self, identity: Identity, vm: str) -> Tracer:
        """Return what makes the spans of a VM, for as long as it has that label."""
        tracer = copy.copy(self._tracer)
        if isinstance(tracer, SdkTracer):
            tracer.resource = of_vm(self._otel, identity, vm)
        return tracer

    def logger(self, identity: Identity, vm: str) -> Logger:
        """Return what makes the log records of a VM, for as long as it has that label."""
        puts = [records.put for records in self._records]
        return Logger(of_vm(self._otel, identity, vm), puts)

    def counted(self, signal: str) -> Counts:
        """Return the counts of a signal, which are shown from now on."""
        if signal not in self.counts:
            self.counts[signal] = Counts()
        return self.counts[signal]

    def close(self, timeout: float) -> None:
        """Export what waits, for so many seconds at most, and stop; what is left is dropped."""
        deadline = monotonic() + timeout
        for _, part in self.parts:
            part.end()
        left: dict[str, int] = {}
        for signal, part in self.parts:
            left[signal] = left.get(signal, 0) + part.close(deadline)
        if any(left.values()):
            shown = " and ".join(f"{number} {signal}" for signal, number in left.items() if number)
            log.warning("not exported when time was up: %s", shown)
        self.parts.clear()

    def _batches(
        self, signal: str, found: Signal, weigh: Callable[[Any], int] = lambda _: 1
    ) -> list[Batch[Any]]:
        counts = self.counted(signal)
        made = [Batch(signal, way, found, counts, weigh) for way in ways(signal, found)]
        self.parts += [(signal, batch) for batch in made]
        return made

    def _report(self, own: SelfMetrics) -> None:
        for signal, counts in list(self.counts.items()):
            tally = counts.tally
            for name, value in (
                ("queued", tally.queued),
                ("exported_total", tally.exported),
                ("failed_total", tally.failed),
                ("dropped_total", tally.dropped),
                ("last_success_timestamp_seconds", tally.succeeded),
            ):
                own.set(f"qmp_exporter_otel_{name}", value, signal)


class _Spans(SpanProcessor):
    """Hands the spans that are sampled to a batch."""

    def __init__(self, batch: Batch[ReadableSpan]) -> None:
        self._put = batch.put

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span that has ended."""
        context = span.context
        if context is not None and context.trace_flags.sampled:
            self._put(span)


def _weight(span: ReadableSpan) -> int:
    return 1 + len(span.events)


def _sampler(otel: Otel) -> Sampler:
    samplers: dict[str, Sampler] = {
        "always_on": ALWAYS_ON,
        "always_off": ALWAYS_OFF,
        "traceidratio": TraceIdRatioBased(otel.ratio),
    }
    root = samplers[otel.sampler.removeprefix("parentbased_")]
    return ParentBased(root) if otel.sampler.startswith("parentbased_") else root


def _span_limits(otel: Otel) -> SpanLimits:
    limits = otel.limits
    return SpanLimits(
        max_attributes=limits.attributes,
        max_events=limits.events,
        max_links=limits.links,
        max_span_attributes=limits.attributes,
        max_event_attributes=limits.event_attributes,
        max_link_attributes=limits.link_attributes,
        max_attribute_length=_length(limits.inner_length),
        max_span_attribute_length=_length(limits.length),
    )


def _length(limit: int | None) -> int:
    return SpanLimits.UNSET if limit is None else limit
