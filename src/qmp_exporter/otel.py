"""OpenTelemetry, put together: the providers, and the sinks that use them.

Imported only where something is exported: it is large, and most exporters do without.
"""

from __future__ import annotations

import asyncio
import logging
from time import time_ns
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from qmp_exporter.sinks.attributes import MAX_TEXT, Describer
from qmp_exporter.sinks.records import RecordsSink
from qmp_exporter.sinks.spans import SpansSink
from qmp_exporter.telemetry.otel.exporters import ways
from qmp_exporter.telemetry.otel.providers import Providers
from qmp_exporter.telemetry.otel.push import Push
from qmp_exporter.telemetry.otel.resources import of_exporter
from qmp_exporter.telemetry.otel.source import Everything


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prometheus_client import CollectorRegistry

    from qmp_exporter.config.otel import Otel
    from qmp_exporter.config.settings import Settings
    from qmp_exporter.sinks.metrics import MetricsSink
    from qmp_exporter.telemetry.self_metrics import SelfMetrics


log = logging.getLogger(__name__)


class OpenTelemetry:
    """What is exported, by its sinks.

    Args:
        otel: what, and how.
        settings: of the exporter.
        own: the exporter's own metrics.
        overflowed: called with what has too many rows to be shown.

    Attributes:
        providers: of tracers and loggers.
        spans: to come before all other sinks; none where no spans are exported.
        records: to come after it; none where no log records are exported.
    """

    def __init__(
        self, otel: Otel, settings: Settings, own: SelfMetrics, overflowed: Callable[[str], None]
    ) -> None:
        for remark in otel.remarks:
            log.warning("%s", remark)
        self._timeout = settings.otel_shutdown_timeout
        self.providers = Providers(otel, own)
        self._otel = otel
        self._began = time_ns()
        limits = otel.limits
        lengths = (limits.inner_length, limits.log_length)
        describe = Describer(
            addresses=settings.otel_client_addresses,
            most=min(limits.event_attributes, limits.log_attributes),
            longest=min((length for length in lengths if length is not None), default=MAX_TEXT),
        )
        self.spans = self.records = None
        if self.providers.traces:
            events = settings.otel_events != "log"
            self.spans = SpansSink(
                self.providers.tracer, describe, events=events, crowded=overflowed
            )
        if self.providers.logs and settings.otel_events != "span":
            self.records = RecordsSink(self.providers.logger, describe)
        on = settings.otel_events
        if (on == "log" and not self.records) or (on == "span" and not self.spans):
            log.warning("events are nowhere: --otel.events is %s, and no %ss are exported", on, on)
        own.preset(
            "qmp_exporter_sink_errors_total",
            [sink.name for sink in (self.spans, self.records) if sink is not None],
        )

    def start(
        self, metrics: MetricsSink, registry: CollectorRegistry, bound: Sequence[str]
    ) -> None:
        """Begin to push metrics, if they are to be pushed.

        Args:
            metrics: of the VMs.
            registry: of the exporter's own.
            bound: where it listens, which tells it from others on this host.
        """
        if self._otel.metrics is None:
            return
        source = Everything(metrics, registry, self._began)
        resource = of_exporter(self._otel, _instance(bound))
        counts = self.providers.counted("metrics")
        for way in ways("metrics", self._otel.metrics):
            push = Push(way, source, self._otel.metrics, resource, counts)
            self.providers.parts.append(("metrics", push))
            push.start()

    def tick(self, now: float) -> None:
        """End what has lasted long enough; ``now`` in monotonic seconds."""
        if self.spans is not None:
            self.spans.tick(now)

    async def stop(self) -> None:
        """End what is under way, and export what there is, for a limited time."""
        try:
            if self.spans is not None:
                self.spans.close()
        except Exception:
            log.exception("what is under way cannot be ended")
        await asyncio.to_thread(self.providers.close, self._timeout)


def _instance(bound: Sequence[str]) -> str:
    """Return the port, as scrapers know it, or the path of the first address."""
    found = urlsplit(bound[0])
    return str(found.port or found.path)
