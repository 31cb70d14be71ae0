"""The collector of these tests, against exporters of OpenTelemetry's SDK as they are."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import requests
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_exporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Status, StatusCode

from otlp import Receiver, certify
from otlp_data import Scope
from otlp_faults import BLACK_HOLE, CUT, HANG, REFUSE, rejecting, slow, status


if TYPE_CHECKING:
    from pathlib import Path


RESOURCE = Resource({"host.name": "web01"})


def export_a_trace(exporter: Any) -> None:
    """Two spans, the second linked to the first."""
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("of-a-test", "1.0")
    first = tracer.start_span("first", start_time=1000)
    inside = trace.set_span_in_context(first)
    link = trace.Link(first.get_span_context(), {"why": "so"})
    second = tracer.start_span("second", inside, links=[link], start_time=2000)
    second.add_event("seen", {"n": 1, "all": ["a", "b"], "yes": True}, 2500)
    second.set_status(Status(StatusCode.ERROR, "it failed"))
    second.end(3000)
    first.end(4000)
    provider.shutdown()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
async def test_a_trace_arrives_as_it_was_made(protocol: str) -> None:
    """Over both protocols: ids, parent, link, event, times, status, resource and scope."""
    async with Receiver() as receiver:
        if protocol == "http":
            exporter = OTLPSpanExporter(f"{receiver.http}/v1/traces", headers={"X-Who": "me"})
        else:
            exporter = grpc_exporter.OTLPSpanExporter(receiver.grpc, headers={"x-who": "me"})
        await asyncio.to_thread(export_a_trace, exporter)
        await receiver.until_spans(2)
        first, second = receiver.span("first"), receiver.span("second")
        assert (first.start, first.end, first.status) == (1000, 4000, "unset")
        assert (second.parent_id, second.trace_id) == (first.span_id, first.trace_id)
        assert (len(first.trace_id), len(first.span_id), first.parent_id) == (32, 16, "")
        (link,) = second.links
        assert (link.span_id, link.attributes) == (first.span_id, {"why": "so"})
        assert second.event("seen").time == 2500
        assert second.event("seen").attributes == {"n": 1, "all": ["a", "b"], "yes": True}
        assert (second.status, second.message) == ("error", "it failed")
        assert second.resource == {"host.name": "web01"}
        assert second.scope == Scope("of-a-test", "1.0")
        assert {request.headers["x-who"] for request in receiver.requests} == {"me"}
        assert {request.protocol for request in receiver.requests} == {protocol}
        assert receiver.size[protocol] > 0


async def test_log_records_arrive_as_they_were_made() -> None:
    """With the name of their event, severity, times and the span they are of."""
    async with Receiver() as receiver:
        provider = LoggerProvider(RESOURCE, shutdown_on_exit=False)
        exporter = OTLPLogExporter(f"{receiver.http}/v1/logs")
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        found = trace.SpanContext(0xA, 0xB, is_remote=False)
        context = trace.set_span_in_context(trace.NonRecordingSpan(found))
        await asyncio.to_thread(
            provider.get_logger("of-a-test").emit,
            timestamp=5,
            observed_timestamp=6,
            context=context,
            severity_number=SeverityNumber.WARN,
            body="words",
            attributes={"n": 1.5},
            event_name="qemu.stop",
        )
        (record,) = await receiver.until_logs(1)
        assert (record.event, record.time, record.observed) == ("qemu.stop", 5, 6)
        assert (record.severity, record.body, record.attributes) == (13, "words", {"n": 1.5})
        assert (int(record.trace_id, 16), int(record.span_id, 16)) == (0xA, 0xB)
        await asyncio.to_thread(provider.shutdown)


async def test_metrics_arrive_as_they_were_made() -> None:
    """With their kind, temporality, unit, points, buckets and times."""
    async with Receiver() as receiver:
        exporter = OTLPMetricExporter(f"{receiver.http}/v1/metrics")
        reader = PeriodicExportingMetricReader(exporter, 60_000)
        provider = MeterProvider([reader], RESOURCE, shutdown_on_exit=False)
        meter = provider.get_meter("of-a-test")
        meter.create_counter("c", "By", "of bytes").add(3, {"vm": "web01"})
        meter.create_gauge("g").set(1.5)
        meter.create_histogram("h", explicit_bucket_boundaries_advisory=[1, 2]).record(1.5)
        await asyncio.to_thread(provider.shutdown)
        await receiver.until(lambda: len(receiver.metrics) == 3)
        counter, gauge, histogram = receiver.metrics
        assert (counter.kind, counter.monotonic, counter.temporality) == ("sum", True, "cumulative")
        assert (counter.unit, counter.description) == ("By", "of bytes")
        assert counter.point(vm="web01").value == 3
        assert 0 < counter.points[0].start < counter.points[0].time
        assert (gauge.kind, gauge.points[0].value) == ("gauge", 1.5)
        (point,) = histogram.points
        assert (point.count, point.bounds, point.buckets) == (1, (1.0, 2.0), (0, 1, 0))


def post(receiver: Receiver, timeout: float = 10.0) -> requests.Response:
    """Send an empty request."""
    body = ExportTraceServiceRequest().SerializeToString()
    url = f"{receiver.http}/v1/traces"
    return requests.post(url, body, timeout=timeout, allow_redirects=False)


def call(receiver: Receiver, timeout: float = 10.0) -> Any:
    """The same over gRPC."""
    alone = [("grpc.use_local_subchannel_pool", 1)]  # and not a connection of the call before
    with grpc.insecure_channel(receiver.grpc.partition("://")[2], alone) as channel:
        path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        return channel.unary_unary(path)(b"", timeout=timeout)


async def test_it_fails_as_it_is_told_and_heals() -> None:
    """Each way is what it says, over HTTP; then all is well at the same address."""
    async with Receiver() as receiver:
        await receiver.fail(REFUSE)
        with pytest.raises(requests.ConnectionError, match="refused"):
            await asyncio.to_thread(post, receiver)
        await receiver.fail(BLACK_HOLE)
        with pytest.raises(requests.ReadTimeout):
            await asyncio.to_thread(post, receiver, 0.2)
        await receiver.fail(HANG)
        with pytest.raises(requests.ReadTimeout):
            await asyncio.to_thread(post, receiver, 0.2)
        await receiver.fail(CUT)
        with pytest.raises(requests.ConnectionError):
            await asyncio.to_thread(post, receiver)
        await receiver.fail(status(503, retry_after=7))
        answer = await asyncio.to_thread(post, receiver)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
        assert (receiver.refused, receiver.requests) == (1, [])
        await receiver.fail(rejecting(2))
        answer = await asyncio.to_thread(post, receiver)
        assert b"as the test says" in answer.content
        await receiver.fail(slow(0.05))
        answer = await asyncio.to_thread(post, receiver)
        assert answer.elapsed.total_seconds() >= 0.05
        await receiver.heal()
        assert (await asyncio.to_thread(post, receiver)).status_code == 200
        assert len(receiver.requests) == 3


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (REFUSE, "UNAVAILABLE"),
        (BLACK_HOLE, "DEADLINE_EXCEEDED"),
        (HANG, "DEADLINE_EXCEEDED"),
        (CUT, "UNAVAILABLE"),
        (status(429), "RESOURCE_EXHAUSTED"),
        (status(401), "UNAUTHENTICATED"),
    ],
)
async def test_it_fails_over_grpc(fault: Any, code: str) -> None:
    """With the status code that a client is to see, and then all is well."""
    async with Receiver() as receiver:
        await receiver.fail(fault)
        with pytest.raises(grpc.RpcError) as caught:
            await asyncio.to_thread(call, receiver, 0.5)
        assert caught.value.code().name == code
        await receiver.heal()
        await asyncio.to_thread(call, receiver, 30.0)
        await receiver.until(lambda: len(receiver.requests) == 1)


async def test_it_speaks_tls_and_asks_for_certificates(tmp_path: Path) -> None:
    """Over HTTP: the authority is needed, and the client's name is kept."""
    certify(tmp_path)
    async with Receiver(tls=tmp_path, mutual=True) as receiver:
        url, trusted = f"{receiver.http}/v1/traces", str(tmp_path / "ca.pem")
        own = (str(tmp_path / "client.pem"), str(tmp_path / "client.key"))

        def send(**options: Any) -> None:
            requests.post(url, b"", timeout=10, **options)

        with pytest.raises(requests.exceptions.SSLError, match=r"self.signed|unable to get local"):
            await asyncio.to_thread(send)
        with pytest.raises(requests.ConnectionError):
            await asyncio.to_thread(send, verify=trusted)
        await asyncio.to_thread(send, verify=trusted, cert=own)
        assert [request.client for request in receiver.requests] == ["client.example"]


async def test_nothing_is_left_behind() -> None:
    """Neither a task nor an open port."""
    before = asyncio.all_tasks()
    async with Receiver() as receiver:
        await asyncio.to_thread(post, receiver)
        ports = [int(url.rpartition(":")[2]) for url in (receiver.http, receiver.grpc)]
    assert asyncio.all_tasks() == before
    for port in ports:
        with socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect(("127.0.0.1", port))
