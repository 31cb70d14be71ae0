"""The records sink: each event as a log record, with the span that it is on."""

from __future__ import annotations

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from builders import connected, event, lost, ready, status
from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.catalog.spec import Severity
from unit.sinks.tracing import Traced, at


def running(**how: bool) -> Traced:
    """Return a VM that runs, and was just connected to."""
    traced = Traced(**how)  # type: ignore[arg-type]
    traced.feed(connected(), status("running", 0.1), ready(0.2))
    return traced


def test_a_record_is_the_event_and_names_its_span() -> None:
    """Name, attributes and time are those of the span event."""
    traced = running()
    panic = {"action": "pause", "info": {"type": "hyper-v", "arg1": 30, "arg2": 2**64 - 1}}
    traced.feed(event("GUEST_PANICKED", panic, 1.25))
    traced.sink.close()
    (record,) = (found.log_record for found in traced.records)
    (span_event,) = traced.span("qemu.activity").events
    context = traced.span("qemu.activity").context
    assert context is not None
    assert (record.trace_id, record.span_id) == (context.trace_id, context.span_id)
    assert record.event_name == span_event.name == "qemu.guest_panicked"
    assert record.timestamp == span_event.timestamp == at(1.25)
    assert record.severity_number is SeverityNumber.FATAL
    assert record.body == "GUEST_PANICKED action=pause kind=hyper-v"
    assert dict(record.attributes or {}) == dict(span_event.attributes or {})
    assert dict(record.attributes or {}) == {
        "qemu.action": "pause",
        "qemu.info.type": "hyper-v",
        "qemu.info.arg1": 30,
        "qemu.info.arg2": str(2**64 - 1),
        "qemu.kind": "hyper-v",
        "error.type": "guest-panic",
    }


def test_what_is_not_an_event_makes_no_record() -> None:
    """Replies and links tell the model; nobody wants to read them."""
    traced = running()
    traced.feed(lost(1))
    assert traced.records == []


def test_a_record_of_what_is_not_sampled_names_no_span() -> None:
    """It is there all the same."""
    traced = Traced(sampler=ALWAYS_OFF)
    traced.feed(connected(), event("RESUME", None, 1))
    (record,) = (found.log_record for found in traced.records)
    assert not record.trace_id


@pytest.mark.parametrize(
    ("name", "data", "severity"),
    [
        ("MIGRATION", {"status": "active"}, SeverityNumber.INFO),
        ("MIGRATION", {"status": "failed"}, SeverityNumber.ERROR),
        ("QUORUM_REPORT_BAD", {"node-name": "n"}, SeverityNumber.WARN),
    ],
)
def test_good_news_may_turn_out_bad(name: str, data: object, severity: SeverityNumber) -> None:
    """The severity is that of the event's kind, unless what it says is a failure."""
    traced = running()
    traced.feed(event(name, data, 1))
    assert traced.records[-1].log_record.severity_number is severity


@pytest.mark.parametrize("spec", EVENTS, ids=lambda spec: spec.name)
def test_every_severity_of_the_catalog_is_one_of_opentelemetry(spec: object) -> None:
    """By its number."""
    severity = getattr(spec, "severity", None)
    assert isinstance(severity, Severity)
    assert SeverityNumber(severity).name == severity.name


def test_an_event_that_nobody_knows_has_its_own_name() -> None:
    """As words of OpenTelemetry, whatever QEMU or somebody else sends."""
    traced = running()
    traced.feed(event("VCPU_MELTED", {"device": "j", "len": 5}, 1), event("Ü b/x" * 99, None, 2))
    first, second = (found.log_record for found in traced.records)
    assert first.event_name == "qemu.vcpu_melted"
    assert dict(first.attributes or {}) == {"qemu.device": "j", "qemu.len": 5}
    assert second.event_name is not None
    assert second.event_name.startswith("qemu.__b_x")
    assert len(second.event_name) < 80


def test_a_renamed_vm_has_a_logger_of_its_new_name() -> None:
    """And one that is forgotten has none."""
    traced = running()
    traced.feed(event("RESUME", None, 1))
    traced.logs.rename("web", "db")
    traced.sink.rename("web", "db")
    traced.vms["db"] = traced.vms.pop("web")
    traced.feed(event("RESUME", None, 2), vm="db")
    assert [found.resource.attributes["qemu.vm"] for found in traced.records] == ["web", "db"]
    traced.logs.forget("db")
    assert traced.logs._vms == {}
