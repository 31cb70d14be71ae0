"""Metrics that are pushed: a whole exporter, and a collector that may fail."""

from __future__ import annotations

import asyncio
import json
import socket
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry

from fake_qmp import FakeMonitor
from integration.exporter import exporting
from otlp import Receiver
from otlp_data import Scope
from otlp_faults import BLACK_HOLE, HANG, REFUSE, rejecting, status
from otlp_fleet import Fleet
from otlp_names import read, translate
from qmp_exporter import __version__
from qmp_exporter.config.otel import Otel, read_otel
from qmp_exporter.config.settings import Settings
from qmp_exporter.otel import OpenTelemetry
from qmp_exporter.sinks.metrics import MetricsSink
from qmp_exporter.telemetry.otel.counts import Counts
from qmp_exporter.telemetry.otel.exporters import ways
from qmp_exporter.telemetry.otel.push import Push
from qmp_exporter.telemetry.otel.resources import of_exporter
from qmp_exporter.telemetry.self_metrics import SelfMetrics


if TYPE_CHECKING:
    from pathlib import Path

    from integration.exporter import Exporter, Page
    from otlp_faults import Fault

PROTOCOLS = pytest.mark.parametrize("protocol", ["http", "grpc"])
METRIC = "qemu.vm_powerdown_requests"
SERIES = "qemu_vm_powerdown_requests_total"
COUNTS = "qmp_exporter_otel_"
QUICK = {
    "traces_exporter": "none",
    "logs_exporter": "none",
    "metrics_exporter": "otlp",
    "metric_export_interval": "50",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the monitor is."""
    return tmp_path / "vm.sock"


def otel(receiver: Receiver, protocol: Any = "http", **more: str) -> Otel:
    """Return the settings to push to a receiver, often."""
    found = read_otel(receiver.environment(protocol, **{**QUICK, **more}))
    assert found is not None
    return found


async def until_more(it: Exporter, what: str) -> None:
    """Wait until more points are counted as `exported` or `failed`."""
    name = f"{COUNTS}{what}_total"

    def points(page: Page) -> float:
        return page[name, {"signal": "metrics"}] or 0.0

    before = points(await it.scrape())
    await it.until(lambda page: points(page) > before, f"more to be {what}", name)


def powerdowns(receiver: Receiver) -> float | None:
    """Return what came of all that a receiver got."""
    family = translate(one for one in receiver.metrics if one.name == METRIC).get(SERIES)
    return None if family is None else next(iter(family.samples.values()))


@PROTOCOLS
async def test_the_collector_shows_what_we_show(protocol: Any, path: Path) -> None:
    """The same metrics with their types, of the VM the same labels and numbers."""
    async with (
        Receiver() as receiver,
        FakeMonitor(path, name="web01") as monitor,
        exporting(monitor, otel=otel(receiver, protocol), process_metrics=True) as it,
    ):
        await monitor.send_event("POWERDOWN")
        await it.until_events("web01", 1)
        await receiver.until(lambda: powerdowns(receiver) == 1)
        number = len(receiver.requests)
        await receiver.until(lambda: len(receiver.requests) > number + 1)
        theirs, ours = translate(receiver.metrics), read((await it.scrape()).text)
        target = theirs.pop("target_info")
        # Of the exporter some may have come since: a command that was answered, a request.
        assert theirs.keys() <= ours.keys()
        assert {name for name in ours if name.startswith("qemu_")} <= theirs.keys()
        assert all(theirs[name][:2] == ours[name][:2] for name in theirs)
        host = socket.gethostname()
        instance = f"{host}:{urlsplit(it.app.server.bound[0]).port}"
        job = {("job", "qmp-exporter"), ("instance", instance)}
        for name in (name for name in ours if name.startswith("qemu_")):
            assert {
                (series, labels - job): number
                for (series, labels), number in theirs[name].samples.items()
            } == ours[name].samples
        ((_, labels),) = target.samples
        assert job | {("host_name", host), ("service_version", __version__)} <= labels
        assert {metric.scope for metric in receiver.metrics} == {Scope("qmp_exporter", __version__)}


@pytest.mark.parametrize(
    ("bound", "instance"),
    [
        ("http://127.0.0.1:10767", "10767"),
        ("https://[::]:443", "443"),
        ("unix:/run/qmp-exporter/http.sock", "/run/qmp-exporter/http.sock"),
    ],
)
async def test_exporters_on_one_host_are_told_apart(bound: str, instance: str) -> None:
    """By where they listen first, which they can but have for themselves."""
    async with Receiver() as receiver:
        exported = OpenTelemetry(otel(receiver), Settings(), SelfMetrics(), print)
        exported.start(MetricsSink(), CollectorRegistry(), [bound, "http://127.0.0.1:1"])
        await receiver.until(lambda: receiver.metrics)
        await exported.stop()
        found = receiver.metrics[0].resource["service.instance.id"]
        assert found == f"{socket.gethostname()}:{instance}"


async def test_the_environment_says_who_we_are(path: Path) -> None:
    """Its attributes come before ours; the service's own variable comes before those."""
    more = {
        "service_name": "hypervisor",
        "resource_attributes": "service.name=no,service.instance.id=kvm1,deployment=lab",
    }
    async with Receiver() as receiver, exporting(path, otel=otel(receiver, **more)):
        await receiver.until(lambda: receiver.metrics)
        found = receiver.metrics[0].resource
        assert (found["service.name"], found["service.instance.id"]) == ("hypervisor", "kvm1")
        assert found["deployment"] == "lab"


async def test_points_have_times(path: Path) -> None:
    """A counter counts since the exporter began, and each point is read when it is sent."""
    before = time_ns()
    async with Receiver() as receiver, exporting(path, otel=otel(receiver)):
        await receiver.until(lambda: len(receiver.requests) > 2)
        points = [
            metric.points[0] for metric in receiver.metrics if metric.name == "qemu.events"
        ] or [m.points[0] for m in receiver.metrics if m.name == "qmp_exporter.fleet_events"]
        assert len({point.start for point in points}) == 1
        assert before <= points[0].start <= points[0].time
        times = [point.time for point in points]
        assert times == sorted(set(times))
        assert times[-1] <= time_ns()


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
async def test_what_happened_last_is_pushed_at_the_end(path: Path, temporality: str) -> None:
    """Though the next push would have been in a minute; the VM is not shown as lost."""
    more = {
        "metric_export_interval": "60000",
        "exporter_otlp_metrics_temporality_preference": temporality,
    }
    async with Receiver() as receiver, FakeMonitor(path, name="web01") as monitor:
        async with exporting(monitor, otel=otel(receiver, **more)) as it:
            await monitor.send_event("POWERDOWN")
            await it.until_events("web01", 1)
        assert powerdowns(receiver) == 1
        assert set(translate(receiver.metrics)["qemu_up"].samples.values()) == {1}


@PROTOCOLS
@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
async def test_a_collector_that_was_dead_misses_nothing(
    path: Path, protocol: Any, temporality: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once that it is lost, and once that it is back."""
    more = {
        "exporter_otlp_metrics_temporality_preference": temporality,
        "exporter_otlp_timeout": "700",  # too little to try again after a second
    }
    async with (
        Receiver() as receiver,
        FakeMonitor(path, name="web01") as monitor,
        exporting(monitor, otel=otel(receiver, protocol, **more)) as it,
    ):
        await monitor.send_event("POWERDOWN")
        await receiver.until(lambda: powerdowns(receiver) == 1)
        await until_more(it, "exported")
        for fault in (status(503), status(429)):
            await receiver.fail(fault)
            await monitor.send_event("POWERDOWN")
            await until_more(it, "failed")
        await receiver.heal()
        await receiver.until(lambda: powerdowns(receiver) == 3)
        page = await it.scrape()
        assert page[f"{COUNTS}dropped_total", {"signal": "metrics"}] == 0
    told = [r.getMessage() for r in caplog.records if "exported to" in r.getMessage()]
    assert len(told) == 2
    assert told[0].startswith("metrics are not exported to ")
    assert told[1].startswith("metrics are exported to ")


@PROTOCOLS
@pytest.mark.parametrize("fault", [REFUSE, BLACK_HOLE, HANG, status(503, 60)])
async def test_the_exporter_stops_in_time(protocol: Any, fault: Fault) -> None:
    """Whatever the collector does, and though one request may take much longer."""
    async with Receiver() as receiver:
        await receiver.fail(fault)
        settings = Settings(otel_shutdown_timeout=0.5)
        sink = MetricsSink()
        exported = OpenTelemetry(otel(receiver, protocol), settings, SelfMetrics(), print)
        exported.start(sink, CollectorRegistry(), ["http://127.0.0.1:10767"])
        counts = exported.providers.counted("metrics")
        async with asyncio.timeout(30):
            while not counts.tally.received:  # noqa: ASYNC110 - a thread tells no event here
                await asyncio.sleep(0.005)
        began = monotonic()
        await exported.stop()
        assert monotonic() - began < 8.0  # a request may take 10 s
        assert counts.tally.queued == 0


@PROTOCOLS
async def test_points_that_a_collector_rejects_are_counted(path: Path, protocol: Any) -> None:
    """As failed, while the rest is exported."""
    async with Receiver() as receiver:
        await receiver.fail(rejecting(7))
        async with exporting(path, otel=otel(receiver, protocol)) as it:
            page = await it.until(
                lambda page: page[f"{COUNTS}exported_total", {"signal": "metrics"}],
                "points",
                f"{COUNTS}exported_total",
            )
            failed = page[f"{COUNTS}failed_total", {"signal": "metrics"}]
            assert failed is not None
            assert failed % 7 == 0 < failed


async def test_on_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    """A push is a line of OTLP's JSON."""
    settings = read_otel({"OTEL_METRICS_EXPORTER": "console"})
    assert settings is not None
    assert settings.metrics is not None
    (way,) = ways("metrics", settings.metrics)
    push = Push(way, Fleet(), settings.metrics, of_exporter(settings, "10767"), Counts())
    await asyncio.to_thread(push.push)
    (line,) = capsys.readouterr().out.splitlines()
    (scope,) = json.loads(line)["resourceMetrics"][0]["scopeMetrics"]
    assert "qemu.up" in {metric["name"] for metric in scope["metrics"]}
