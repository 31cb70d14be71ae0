"""Machines to which everything has happened, under names that are hard on whoever shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from builders import (
    BOOT,
    EVERYTHING,
    START,
    Watch,
    blocks,
    connected,
    drive,
    event,
    failures,
    reply,
    status,
    vnc,
)
from otlp_data import metrics
from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.catalog.own_metrics import OWN_METRICS
from qmp_exporter.config.otel import Metrics
from qmp_exporter.model.inputs import Ask
from qmp_exporter.model.replies import MigratedRam, MigrationInfo
from qmp_exporter.telemetry.otel.counts import Counts
from qmp_exporter.telemetry.otel.push import Push
from qmp_exporter.telemetry.otel.source import Everything
from qmp_exporter.telemetry.self_metrics import SelfMetrics


if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )
    from prometheus_client import Metric as PrometheusFamily

    from otlp_data import Metric
    from qmp_exporter.model.inputs import Input
    from qmp_exporter.telemetry.otel.ledger import Preference
    from qmp_exporter.telemetry.otel.request import Request
    from qmp_exporter.telemetry.samples import Samples


HOSTILE: Final = 'we"b\\n\\ {x="1"} 5 \N{SNOWMAN}'
LONG: Final = "\N{SNOWMAN}" * 99
SECOND: Final = 99.0
"""At which all is read."""


class Process(Collector):
    """What prometheus-client tells of a process, always the same."""

    def collect(self) -> Iterator[PrometheusFamily]:
        """Yield one family of each kind."""
        yield CounterMetricFamily("process_cpu_seconds", "CPU time.", value=12.25)
        yield GaugeMetricFamily("process_resident_memory_bytes", "Memory.", value=4e7)
        collections = CounterMetricFamily("python_gc_collections", "Runs.", labels=["generation"])
        for generation in range(3):
            collections.add_metric([str(generation)], 10**generation)
        yield collections
        info = GaugeMetricFamily("python_info", "Python.", labels=["implementation", "patchlevel"])
        info.add_metric(["CPython", ""], 1)
        yield info


def machines() -> Watch:
    """Return one machine of which every metric is there, and one that was never reached."""
    watch = Watch("/run/web.sock", "/run/never.sock")
    labels = (("rack", 'r"1'), ("zone", ""))
    happened: list[Input] = [
        connected(0, name=HOSTILE, monitor="/run/web.sock", qemu_version=LONG, labels=labels),
        status("running", 0),
        blocks(drive("disk0"), drive(HOSTILE)),
        failures("disk0", HOSTILE),
        *[event(s.name, data, n) for n, s in enumerate(EVENTS) for data in s.samples],
        event("VCPU_MELTED", {}, 60),
        event("JOB_STATUS_CHANGE", {"id": "job0", "status": "created"}, 60),
        event("BLOCK_JOB_COMPLETED", {"type": "backup", "device": "job0"}, 60.5),
        vnc("CONNECTED", "5000", 61),
        event("QUORUM_FAILURE", {"reference": "q", "sector-num": 0, "sectors-count": 2**62}, 62),
        event("QUORUM_FAILURE", {"reference": "q", "sector-num": 0, "sectors-count": 2**62}, 63),
        event("MIGRATION", {"status": "setup"}, 64),
        event("MIGRATION", {"status": "completed"}, 65.5),
        # The first may be older than an event that came before it, and is asked for again.
        *[reply(Ask.MIGRATE, MigrationInfo("completed", 12, MigratedRam(1 << 40)), 66)] * 2,
        event("RESUME", at=67),
        event("STOP", at=68),
        status("paused", 68),
    ]
    for one in happened:
        watch.feed(one, "/run/web.sock")
    watch.sink.decode_error(watch.fleet.name("/run/web.sock"), "STOP")
    return watch


def exporter() -> CollectorRegistry:
    """Return what an exporter tells of itself, with a row of each metric at least."""
    own = SelfMetrics()
    for number, spec in enumerate(OWN_METRICS, 1):
        labels = [f"some {name}" for name in spec.labels]
        own._numbers[spec.name].clear()
        if spec.kind == "histogram":
            for value in (0.0, *spec.buckets, 1e9):
                own.histogram(spec.name, *labels).observe(value)
        else:
            own.add(spec.name, number + 0.5 * (spec.kind == "gauge"), *labels)
    registry = CollectorRegistry()
    registry.register(own)
    registry.register(Process())
    return registry


class Fleet:
    """The machines and their exporter, at one moment: what is scraped, and what is pushed.

    Attributes:
        watch: the machines.
        began: for the push.
    """

    def __init__(self) -> None:
        self.watch = machines()
        self.registry = exporter()
        self.began = int(START) * 10**9
        self._everything = Everything(self.watch.sink, self.registry, self.began)

    def page(self) -> str:
        """Return the page of `/metrics`."""
        sink = self.watch.sink
        vms = sink.render(BOOT + SECOND, openmetrics=False, names=EVERYTHING)
        return vms + generate_latest(self.registry).decode()

    def samples(self) -> Iterator[list[Samples]]:
        """Yield all samples."""
        groups = self._everything.samples()
        yield next(groups)
        yield from self.watch.sink.samples(lambda: BOOT + SECOND)

    def last(self, owner: object) -> tuple[list[Samples], list[Samples]]:
        """Return the last samples of what is gone, and those of who took its place."""
        return self._everything.last(owner)


class Recorder:
    """A way out that keeps what is sent.

    Attributes:
        messages: that were taken.
        metrics: that are in them.
        failure: why the next ones are not taken; empty if they are.
    """

    name = "a recorder"

    def __init__(self) -> None:
        self.messages: list[ExportMetricsServiceRequest] = []
        self.metrics: list[Metric] = []
        self.failure = ""

    def send(self, request: Request) -> tuple[int, str]:
        """Keep a request."""
        if self.failure:
            return len(request), self.failure
        self.messages.append(request.message())
        self.metrics += metrics(self.messages[-1])
        return 0, ""

    def close(self) -> None:
        """Do nothing."""


def pushing(fleet: Fleet, way: Any, temporality: Preference = "cumulative") -> Push:
    """Return a push that nobody has started."""
    told = {"service.name": "qmp-exporter", "service.instance.id": "kvm1:10767"}
    pairs = [KeyValue(key=k, value=AnyValue(string_value=text)) for k, text in told.items()]
    settings = Metrics(("otlp",), temporality=temporality)
    return Push(way, fleet, settings, Resource(attributes=pairs), Counts())
