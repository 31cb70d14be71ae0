"""What makes the spans and log records of each VM."""

from __future__ import annotations

import gc
import inspect
import os
import socket
import weakref
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from opentelemetry.exporter.http.transport._requests import RequestsHTTPTransport
from opentelemetry.exporter.otlp.proto.common._internal import trace_encoder
from opentelemetry.sdk.trace import ReadableSpan, Tracer, TracerProvider
from opentelemetry.semconv.resource import HostArchValues, ResourceAttributes
from opentelemetry.trace import NoOpTracer, SpanContext, TraceFlags

from qmp_exporter.config.otel import Otel, read_otel
from qmp_exporter.model.inputs import Identity
from qmp_exporter.telemetry.otel import exporters, resources
from qmp_exporter.telemetry.otel.events import Description
from qmp_exporter.telemetry.otel.messages import encode_logs, encode_spans
from qmp_exporter.telemetry.otel.providers import Providers
from qmp_exporter.telemetry.self_metrics import SelfMetrics


if TYPE_CHECKING:
    from collections.abc import Iterator

BOTH = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
WEB01 = Identity("web01", "6a8a2a28-0f6b-4d0a-8a4d-3a0a4b4d9f11", "10.0.2", "aarch64")


def otel(**variables: str) -> Otel:
    """Settings, with both signals on."""
    found = read_otel(BOTH | {f"OTEL_{name.upper()}": text for name, text in variables.items()})
    assert found is not None
    return found


@pytest.fixture
def providers() -> Iterator[Providers]:
    """Of both signals; nothing is sent."""
    made = Providers(otel())
    yield made
    made.close(0)


def test_the_private_members_are_there() -> None:
    """That make a tracer another VM's, and tell what became of an export."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("x")
    assert "resource" in vars(tracer)
    assert "_events" in vars(tracer.start_span("s"))
    for what in ("traces", "logs", "metrics"):
        for protocol in ("http", "grpc"):
            kind = exporters._exporter(protocol, what)
            source = Path(inspect.getfile(kind.export)).read_text()
            sends = {"traces": encode_spans, "logs": encode_logs}.get(what)
            if sends is not None:
                name = sends.__name__
                assert kind.export.__globals__[name] is sends
                assert f"{name}(" in source
                assert getattr(import_module(kind.__module__), name) is not sends  # others' own
            if protocol == "http":
                assert "_transport" in inspect.signature(kind).parameters
                assert "self._metrics.export_operation(" in source
            else:
                assert hasattr(kind, "_initialize_channel_and_stub")
    with mock.patch.dict(os.environ):
        made = exporters.ways("traces", otel(exporter_otlp_protocol="grpc").traces)[0]._exporter  # type: ignore[arg-type]
        assert {"_metrics", "_client"} <= vars(made).keys()
        made.shutdown()
    assert hasattr(RequestsHTTPTransport(), "_session")
    assert {"_encode_span", "_encode_events"} <= vars(trace_encoder).keys()


def test_each_vm_has_its_own_resource_and_all_share_the_rest(providers: Providers) -> None:
    """A tracer or logger that was handed out is not changed by the next."""
    one, two = (providers.tracer(WEB01, vm) for vm in ("one", "two"))
    assert isinstance(one, Tracer)
    assert isinstance(two, Tracer)
    assert (one.resource.attributes["qemu.vm"], two.resource.attributes["qemu.vm"]) == (
        "one",
        "two",
    )
    assert one.span_processor is two.span_processor
    first, second = (providers.logger(WEB01, vm) for vm in ("one", "two"))
    assert first.resource.attributes["qemu.vm"] == "one"
    assert second.resource.attributes["qemu.vm"] == "two"
    span = one.start_span("s")
    assert span.resource.attributes["qemu.vm"] == "one"  # type: ignore[attr-defined]


def test_nothing_is_kept_of_a_vm_that_is_gone(providers: Providers) -> None:
    """Its tracer, its logger and its resource live as long as somebody holds them."""
    tracer, logger = providers.tracer(WEB01, "one"), providers.logger(WEB01, "one")
    assert isinstance(tracer, Tracer)
    gone = [weakref.ref(tracer), weakref.ref(logger), weakref.ref(tracer.resource)]
    del tracer, logger
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3


def test_no_hook_for_forks_is_left_by_a_vm(providers: Providers) -> None:
    """Those of os.register_at_fork stay for ever; a provider leaves one."""
    with mock.patch("os.register_at_fork") as register:
        for number in range(3):
            providers.tracer(WEB01, f"{number}")
            providers.logger(WEB01, f"{number}")
    assert register.call_count == 0


def test_what_is_not_exported_is_not_made() -> None:
    """Of a signal that is off: spans that record nothing, log records that go nowhere."""
    made = Providers(otel(traces_exporter="none"))
    assert (made.traces, made.logs, set(made.counts)) == (False, True, {"logs"})
    assert isinstance(made.tracer(WEB01, "x"), NoOpTracer)
    made.close(0)
    made = Providers(otel(logs_exporter="none"))
    assert (made.traces, made.logs, set(made.counts)) == (True, False, {"traces"})
    made.logger(WEB01, "x").emit(Description("qemu.stop", 9, "STOP", {}), 1)
    assert "logs" not in made.counts
    made.close(0)


@pytest.mark.parametrize(("flags", "expected"), [(0, 0), (1, 1), (2, 0), (3, 1)])
def test_a_span_that_is_recorded_and_not_sampled_is_not_exported(
    providers: Providers, flags: int, expected: int
) -> None:
    """The flag of its context says so; another flag beside it does not matter."""
    tracer = providers.tracer(WEB01, "web01")
    assert isinstance(tracer, Tracer)
    context = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(flags))
    tracer.span_processor.on_end(ReadableSpan("s", context))
    assert providers.counts["traces"].tally.received == expected


def test_the_counts_are_shown_from_the_beginning() -> None:
    """At 0, and of the signals that are exported only."""
    own = SelfMetrics()
    assert not [s for m in own.collect() for s in m.samples if "_otel_" in s.name]
    made = Providers(otel(logs_exporter="none"), own)
    shown = [s for m in own.collect() for s in m.samples if "_otel_" in s.name]
    assert [(s.labels, s.value) for s in shown] == [({"signal": "traces"}, 0)] * 5
    made.counted("metrics").receive(3)
    assert own.rows("qmp_exporter_otel_queued") == {("traces",): 0}
    list(own.collect())
    assert own.rows("qmp_exporter_otel_queued") == {("traces",): 0, ("metrics",): 3}
    made.close(0)


def test_the_environment_says_nothing_that_the_settings_do_not() -> None:
    """The SDK's exporters do not read it a second time, and find it as it was afterwards."""
    odd = {
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "zstd",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-other=1",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere",
    }
    with mock.patch.dict(os.environ, odd):
        for protocol in ("http/protobuf", "grpc"):
            signal = otel(exporter_otlp_protocol=protocol).traces
            assert signal is not None
            (way,) = exporters.ways("traces", signal)
            assert "x-other" not in str(vars(way._exporter))
            way.close()
        assert {name: os.environ[name] for name in odd} == odd


def test_the_resource_of_a_vm_takes_what_the_environment_adds() -> None:
    """But who the VM is, it is; only the name of the service is the environment's."""
    found = resources.of_vm(
        otel(resource_attributes="host.id=node,k8s.pod.name=p,service.name=vms"), WEB01, "web01"
    )
    assert found.attributes["host.id"] == WEB01.uuid
    assert found.attributes["k8s.pod.name"] == "p"
    assert found.attributes["service.name"] == "vms"
    assert found.attributes["host.arch"] == HostArchValues.ARM64.value
    bare = resources.of_vm(otel(), Identity(), "web01").attributes
    assert (bare["service.name"], bare["service.instance.id"]) == ("qemu", "web01")
    assert (bare["host.name"], bare["qemu.vm"]) == ("web01", "web01")
    assert not {"host.id", "host.arch", "qemu.version"} & set(bare)


def test_a_resource_can_be_exported_whatever_qemu_is_called() -> None:
    """It is sent with every batch: a text that is none of UTF-8, or has no end, is mended."""
    odd = Identity("a\ud800" + "b" * 10_000, "\udfff", "\n", "\x00")
    said = resources.of_vm(otel(), odd, "web01").attributes
    assert all(len(str(value).encode()) <= 128 for value in said.values())
    assert (said["host.id"], said["host.arch"], said["qemu.version"]) == ("?", "?", "?")


def test_architectures_are_those_of_the_conventions() -> None:
    """Where QEMU has another word for one that they know."""
    known = {one.value for one in HostArchValues}
    assert set(resources.ARCHITECTURES.values()) <= known
    assert ResourceAttributes.HOST_ARCH == resources.HOST_ARCH
    assert not set(resources.ARCHITECTURES) & known


def test_a_resource_is_hashed_once() -> None:
    """As each item of a batch asks for it; equal ones are one to the exporter."""
    one, two = (resources.of_vm(otel(), WEB01, "web01") for _ in range(2))
    assert (one, hash(one)) == (two, hash(two))
    with mock.patch("opentelemetry.sdk.resources.dumps") as dumps:
        hash(one)
    assert dumps.call_count == 0


def test_the_resource_of_the_exporter_is_its_own() -> None:
    """It is for the metrics of all VMs."""
    message = resources.of_exporter(otel(resource_attributes="k=v"), "10767")
    found = {pair.key: pair.value.string_value for pair in message.attributes}
    assert (found["service.name"], found["k"]) == ("qmp-exporter", "v")
    assert found["service.instance.id"] == f"{socket.gethostname()}:10767"
    assert "qemu.vm" not in found
