"""Collectors that are dead, slow or against us: nothing is lost without being counted."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from integration.exporting import exporting
from otlp import Receiver, certify
from otlp_faults import BLACK_HOLE, CUT, ENDLESS, HANG, REFUSE, Fault, slow, status


if TYPE_CHECKING:
    from pathlib import Path

PROTOCOLS = pytest.mark.parametrize("protocol", ["http", "grpc"])
DEAD = pytest.mark.parametrize(
    "fault",
    [REFUSE, BLACK_HOLE, HANG, CUT, status(503, 1), status(429, 3600), slow(3600)],
    ids=lambda fault: f"{fault.kind}{fault.status}",
)
AWAY = "are not exported to"
BACK = "again; meanwhile"


def told(caplog: pytest.LogCaptureFixture, words: str, signal: str = "traces") -> list[str]:
    """The lines of the log with these words of a signal."""
    lines = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    return [line for line in lines if words in line and line.startswith(signal)]


@PROTOCOLS
@DEAD
async def test_the_end_comes_in_time_and_all_is_counted(
    protocol: Any, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the collector does; what it did not take is told in one line."""
    async with Receiver() as receiver, exporting(receiver.environment(protocol)) as running:
        await receiver.fail(fault)
        running.spans(1000)
        running.records(500)
        took = await running.close(1.0)
        assert took < 6.0
        for signal, number in (("traces", 1000), ("logs", 500)):
            tally = running.tally(signal)
            assert (tally.received, tally.queued, tally.exported) == (number, 0, 0)
            assert tally.failed + tally.dropped == number
        running.spans(3)
        assert running.tally().received == 1003
        assert running.shown()["queued"] == 0
    dropped = [one for one in caplog.messages if one.startswith("not exported when time was up")]
    assert len(dropped) <= 1


@PROTOCOLS
async def test_what_waits_is_sent_at_the_end(protocol: Any) -> None:
    """Also several batches of it, where the collector is well."""
    more = {"bsp_schedule_delay": "60000", "blrp_schedule_delay": "60000"}
    async with (
        Receiver() as receiver,
        exporting(receiver.environment(protocol, **more)) as running,
    ):
        running.spans(1500)
        running.records(100)
        await running.close()
        assert (len(receiver.spans), len(receiver.logs)) == (1500, 100)
        assert (running.tally().exported, running.tally("logs").exported) == (1500, 100)


@PROTOCOLS
@pytest.mark.parametrize(
    ("fault", "http", "grpc"),
    [
        (REFUSE, "Connection refused", "UNAVAILABLE: "),
        (BLACK_HOLE, "no answer in time", "DEADLINE_EXCEEDED: "),
        (HANG, "no answer in time", "DEADLINE_EXCEEDED: "),
        (CUT, "", "UNAVAILABLE: "),
        (status(503), "503 Service Unavailable", "UNAVAILABLE: as the test says"),
        (status(429, 3600), "429 Too Many Requests", "RESOURCE_EXHAUSTED: as the test"),
        (status(401), "401 Unauthorized", "UNAUTHENTICATED: as the test says"),
        (status(404), "404 Not Found", "UNIMPLEMENTED: as the test says"),
        (status(400), "400 Bad Request", "INVALID_ARGUMENT: as the test says"),
    ],
    ids=lambda value: f"{value.kind}{value.status}" if isinstance(value, Fault) else "",
)
async def test_a_collector_is_lost_once_and_back_once(
    protocol: Any, fault: Fault, http: str, grpc: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says why, and how many were lost; more failures say no more."""
    more = {"exporter_otlp_timeout": "400", "logs_exporter": "none"}
    async with (
        Receiver() as receiver,
        exporting(receiver.environment(protocol, **more)) as running,
    ):
        running.spans(2)
        await receiver.until_spans(2)
        await running.until(lambda: running.tally().exported == 2)
        await receiver.fail(fault)
        for number in (3, 5):
            running.spans(3 if number == 3 else 2)
            await running.until(lambda number=number: running.tally().failed == number)  # type: ignore[misc]
        (line,) = told(caplog, AWAY)
        assert (http if protocol == "http" else grpc) in line
        assert told(caplog, BACK) == []
        await receiver.heal()
        while not told(caplog, BACK):  # of gRPC, a channel takes its time to connect again
            before = running.tally()
            running.spans(1)
            await running.until(lambda: running.tally().queued == 0)
            if running.tally().exported > before.exported:
                await running.until(lambda: bool(told(caplog, BACK)))
        failed = running.tally().failed
        (line,) = told(caplog, BACK)
        assert f"{failed} failed and 0 were dropped" in line
        running.spans(3)
        await running.close()
        assert len(told(caplog, AWAY)) == len(told(caplog, BACK)) == 1
        tally = running.tally()
        assert (tally.exported, tally.failed, tally.dropped) == (len(receiver.spans), failed, 0)
        assert tally.exported == 2 + 1 + 3


@PROTOCOLS
async def test_what_is_to_be_tried_again_is_not_lost(protocol: Any) -> None:
    """A collector that says when to come back gets it then, once."""
    async with Receiver() as receiver, exporting(receiver.environment(protocol)) as running:
        await receiver.fail(status(503, retry_after=1))
        running.spans(3)
        await receiver.until(lambda: receiver.refused >= 1)
        await receiver.heal()
        await receiver.until_spans(3)
        await running.close()
        assert (running.tally().exported, len(receiver.spans)) == (3, 3)


@pytest.mark.parametrize("certificate", ["expired", "stranger"])
@PROTOCOLS
async def test_a_wrong_certificate_is_told(
    protocol: Any, certificate: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And nothing is sent to whoever shows it."""
    certify(tmp_path)
    more = {"exporter_otlp_timeout": "400", "logs_exporter": "none"}
    async with (
        Receiver(tls=tmp_path, certificate=certificate) as receiver,
        exporting(receiver.environment(protocol, **more)) as running,
    ):
        running.spans(1)
        await running.until(lambda: running.tally().failed == 1)
        await running.until(lambda: bool(told(caplog, AWAY)))
        (line,) = told(caplog, AWAY)
        if protocol == "http":
            why = "has expired" if certificate == "expired" else "unable to get local issuer"
            assert f"its certificate is not trusted: certificate {why}"[:-9] in line or why in line
        else:
            assert "UNAVAILABLE" in line
        assert receiver.requests == []


async def test_a_collector_that_wants_a_certificate_gets_none_of_us(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Which is a failure like others."""
    certify(tmp_path)
    more = {
        "exporter_otlp_timeout": "400",
        "logs_exporter": "none",
        "exporter_otlp_client_certificate": "",
        "exporter_otlp_client_key": "",
    }
    async with (
        Receiver(tls=tmp_path, mutual=True) as receiver,
        exporting(receiver.environment(**more)) as running,
    ):
        running.spans(1)
        await running.until(lambda: bool(told(caplog, AWAY)))
        assert receiver.requests == []


async def test_a_redirect_is_no_success(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is sent to where it points, and the log says where that is."""
    more = {"logs_exporter": "none"}
    async with Receiver() as receiver, exporting(receiver.environment(**more)) as running:
        await receiver.fail(status(308, location="https://elsewhere.example/v1/traces"))
        running.spans(2)
        await running.until(lambda: running.tally().failed == 2)
        await running.until(lambda: bool(told(caplog, AWAY)))
        assert "308, redirected to https://elsewhere.example/v1/traces" in told(caplog, AWAY)[0]


async def test_traces_and_logs_do_not_wait_for_one_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nor does the console: each way out has its own queue and thread."""
    async with Receiver() as dead, Receiver() as well:
        await dead.fail(HANG)
        environment = well.environment(
            exporter_otlp_traces_endpoint=f"{dead.http}/v1/traces", exporter_otlp_timeout="60000"
        )
        async with exporting(environment) as running:
            running.spans(10)
            for number in range(1, 4):
                running.records(10)
                await well.until_logs(10 * number)
            assert running.tally().queued == 10
            assert (running.tally().failed, told(caplog, AWAY)) == (0, [])


async def test_the_oldest_go_where_there_is_no_room() -> None:
    """The queue is bounded, the newest get through, and every one is counted."""
    more = {
        "exporter_otlp_timeout": "60000",
        "bsp_max_queue_size": "100",
        "bsp_max_export_batch_size": "10",
        "logs_exporter": "none",
    }
    async with Receiver() as receiver, exporting(receiver.environment(**more)) as running:
        await receiver.fail(HANG)
        running.spans(10, "first")
        await receiver.until(lambda: receiver.hung == 1)
        running.spans(500, "old")
        running.spans(100, "new")
        tally = running.tally()
        assert (tally.received, tally.queued, tally.dropped) == (610, 110, 500)
        await receiver.heal()
        await receiver.until(lambda: sum(span.name == "new" for span in receiver.spans) == 100)
        await running.close()
        assert running.tally().exported == len(receiver.spans) == 110


async def test_taking_an_item_is_quick_whatever_the_collector_does() -> None:
    """Neither an export that hangs nor a full queue makes the loop wait."""
    more = {"exporter_otlp_timeout": "60000", "bsp_max_queue_size": "512"}
    async with Receiver() as receiver, exporting(receiver.environment(**more)) as running:
        await receiver.fail(HANG)
        running.spans(512)
        await receiver.until(lambda: receiver.hung == 1)
        began = monotonic()
        running.spans(5000)
        assert (monotonic() - began) / 5000 < 0.005  # microseconds, on a machine that is slow
        assert running.tally().received == 5512


async def test_what_the_sdk_logs_of_each_attempt_is_for_those_who_debug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing of it is a warning, and its words are there at debug."""
    caplog.set_level(logging.DEBUG, "qmp_exporter")
    more = {"exporter_otlp_timeout": "3000", "logs_exporter": "none"}
    async with Receiver() as receiver, exporting(receiver.environment(**more)) as running:
        await receiver.fail(status(503, 1))
        running.spans(1)
        await running.until(lambda: running.tally().failed == 1)
        await running.until(lambda: bool(told(caplog, AWAY)))
    assert not logging.getLogger("opentelemetry.exporter").propagate
    ours = [one for one in caplog.records if one.name.startswith("qmp_exporter")]
    loud = [one for one in ours if one.levelno > logging.INFO]
    assert [one.name for one in loud] == ["qmp_exporter.telemetry.otel.health"]
    assert any("Transient error" in message for message in caplog.messages)


async def test_closing_twice_is_as_good_as_once() -> None:
    """From several threads, too."""
    async with Receiver() as receiver, exporting(receiver.environment()) as running:
        running.spans(10)
        await asyncio.gather(*(running.close() for _ in range(3)))
        assert running.tally().exported == 10


async def test_an_answer_without_end_is_no_matter() -> None:
    """Its status says that all was taken; what comes with it is not read to the end."""
    more = {"logs_exporter": "none"}
    async with Receiver() as receiver, exporting(receiver.environment(**more)) as running:
        await receiver.fail(ENDLESS)
        for number in (1, 2):
            running.spans(1)
            await running.until(lambda number=number: running.tally().exported == number)  # type: ignore[misc]


@PROTOCOLS
async def test_a_connection_is_used_again(protocol: Any) -> None:
    """One for each signal, however many exports there are."""
    async with Receiver() as receiver, exporting(receiver.environment(protocol)) as running:
        for number in range(1, 6):
            running.spans(1)
            running.records(1)
            await receiver.until_spans(number)
            await receiver.until_logs(number)
        assert len(receiver.requests) >= 10
        assert receiver.connections[protocol] <= 2
