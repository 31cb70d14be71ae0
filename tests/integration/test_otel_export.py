"""Spans and log records on their way to a collector that is well."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from integration.exporting import WEB01, exporting
from otlp import Receiver, certify
from otlp_faults import rejecting
from qmp_exporter import __version__


if TYPE_CHECKING:
    from pathlib import Path

PROTOCOLS = pytest.mark.parametrize("protocol", ["http", "grpc"])


@PROTOCOLS
async def test_spans_and_records_arrive_with_their_vm(protocol: Any) -> None:
    """Under one scope, the resource being the VM; and all of it is counted as exported."""
    async with Receiver() as receiver, exporting(receiver.environment(protocol)) as running:
        running.spans(3)
        running.records(2)
        (span, *_), (record, *_) = await receiver.until_spans(3), await receiver.until_logs(2)
        assert span.resource == {
            "host.id": WEB01.uuid,
            "host.name": "web01",
            "host.arch": "amd64",
            "service.name": "qemu",
            "service.instance.id": WEB01.uuid,
            "qemu.vm": "web01",
            "qemu.version": "10.0.2",
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.version": span.resource["telemetry.sdk.version"],
        }
        assert record.resource == span.resource
        assert (span.scope.name, span.scope.version) == ("qmp_exporter", __version__)
        assert record.scope == span.scope
        await running.close()
        assert (running.tally().exported, running.tally("logs").exported) == (3, 2)
        assert running.tally().succeeded > 0
        assert running.shown() == {
            "queued": 0,
            "exported_total": 3,
            "failed_total": 0,
            "dropped_total": 0,
        }


async def test_vms_keep_their_resources_apart() -> None:
    """Though they share one way out, each has its own, and requests group by it."""
    async with Receiver() as receiver, exporting(receiver.environment()) as running:
        providers = running.providers
        tracers = [providers.tracer(WEB01, "a"), providers.tracer(WEB01, "b")]
        for tracer in (*tracers, *tracers):
            tracer.start_span("qemu.dump").end()
        spans = await receiver.until_spans(4)
        assert sorted(span.resource["qemu.vm"] for span in spans) == ["a", "a", "b", "b"]


@PROTOCOLS
async def test_headers_and_compression_are_as_set(protocol: Any) -> None:
    """The headers come with each request, decoded; what is compressed is small."""
    size: dict[str, int] = {}
    for compression in ("none", "gzip", "deflate"):
        more = {
            "exporter_otlp_headers": "authorization=Bearer%20abc, x-tenant = lab",
            "exporter_otlp_compression": compression,
            "logs_exporter": "none",
            "bsp_schedule_delay": "60000",
            "bsp_max_export_batch_size": "2000",
        }
        async with (
            Receiver() as receiver,
            exporting(receiver.environment(protocol, **more)) as running,
        ):
            running.spans(2000)
            await receiver.until_spans(2000)
            (request,) = receiver.requests
            assert request.headers["authorization"] == "Bearer abc"
            assert request.headers["x-tenant"] == "lab"
            size[compression] = receiver.size[protocol]
    assert size["gzip"] < size["none"] * 0.7
    assert size["deflate"] < size["none"] * 0.7


@PROTOCOLS
async def test_tls_with_certificates_of_both(protocol: Any, tmp_path: Path) -> None:
    """Ours is shown, and theirs is asked of the authority that was set."""
    certify(tmp_path)
    async with (
        Receiver(tls=tmp_path, mutual=True) as receiver,
        exporting(receiver.environment(protocol)) as running,
    ):
        running.spans()
        running.records()
        await receiver.until_spans(1)
        await receiver.until_logs(1)
        assert {request.client for request in receiver.requests} == {"client.example"}


async def test_a_bundle_of_requests_does_not_come_before_our_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REQUESTS_CA_BUNDLE is for others, where OTEL_EXPORTER_OTLP_CERTIFICATE is set."""
    certify(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "stranger.pem"))
    async with Receiver(tls=tmp_path) as receiver, exporting(receiver.environment()) as running:
        running.spans()
        await receiver.until_spans(1)


async def test_what_is_not_sampled_is_not_exported() -> None:
    """Nor is it counted."""
    more = {"traces_sampler": "always_off"}
    async with Receiver() as receiver, exporting(receiver.environment(**more)) as running:
        running.spans(5)
        running.records()
        await receiver.until_logs(1)
        await running.close()
        assert (receiver.spans, running.tally().received) == ([], 0)


@PROTOCOLS
async def test_what_a_collector_rejects_has_failed(
    protocol: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A partial success is told, with the collector's words, and counted by item."""
    more = {"bsp_schedule_delay": "60000", "bsp_max_export_batch_size": "5"}
    async with (
        Receiver() as receiver,
        exporting(receiver.environment(protocol, **more)) as running,
    ):
        await receiver.fail(rejecting(2))
        running.spans(5)
        await receiver.until_spans(5)
        await running.until(lambda: running.tally().queued == 0)
        assert (running.tally().exported, running.tally().failed) == (3, 2)
        await running.close()
    assert "as the test says" in caplog.text


async def test_limits_are_as_set() -> None:
    """Of spans, their events and links, and log records."""
    more = {
        "span_event_count_limit": "2",
        "attribute_value_length_limit": "4",
        "span_attribute_count_limit": "1",
        "logrecord_attribute_count_limit": "",
    }
    async with Receiver() as receiver, exporting(receiver.environment(**more)) as running:
        span = running.providers.tracer(WEB01, "web01").start_span("s", attributes={"a": "x" * 9})
        for number in range(3):
            span.add_event(f"e{number}", {"text": "y" * 9, "n": number})
        span.end()
        (found,) = await receiver.until_spans(1)
        assert found.attributes == {"a": "xxxx"}
        assert [(event.name, event.attributes["text"]) for event in found.events] == [
            ("e1", "yyyy"),
            ("e2", "yyyy"),
        ]
        assert found.dropped == (0, 1, 0)


async def test_the_console_gets_lines_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    """One for each, and the collector beside it gets them, too: each exporter counts."""
    more = {"traces_exporter": "console,otlp", "logs_exporter": "console"}
    async with Receiver() as receiver, exporting(receiver.environment(**more)) as running:
        running.spans(2)
        running.records(1)
        await receiver.until_spans(2)
        await running.close()
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert sorted(one.get("name") or one["event_name"] for one in found) == ["qemu.stop"] * 3
        assert (running.tally().exported, running.tally("logs").exported) == (4, 1)
