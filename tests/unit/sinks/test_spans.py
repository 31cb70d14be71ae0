"""The spans sink: what is under way, as spans of the SDK."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, TraceIdRatioBased
from opentelemetry.trace import StatusCode, format_span_id, format_trace_id

from builders import START, connected, event, link, lost, ready, reply, status, vnc
from qmp_exporter.catalog.operations import MAX_CLIENTS
from qmp_exporter.catalog.states import TargetState
from qmp_exporter.model.inputs import Ask
from qmp_exporter.model.operation import MAX_ACTIVITY, MAX_AGE, MAX_EVENTS
from qmp_exporter.model.replies import MigratedRam, MigrationInfo
from qmp_exporter.sinks import spans as module
from qmp_exporter.telemetry.otel.batch import MOST_SENT
from qmp_exporter.telemetry.otel.messages import encode_logs, encode_spans
from unit.sinks.tracing import Traced, at


IO_ERROR = {"device": "ide0-hd0", "operation": "read", "action": "stop", "reason": "broken"}


def running(**how: Any) -> Traced:
    """Return a VM that runs, and was just connected to."""
    traced = Traced(**how)
    traced.feed(connected(), status("running", 0.1), ready(0.2))
    return traced


def stopped(traced: Traced) -> None:
    """Let a VM stop for an I/O error, and go on."""
    traced.feed(
        event("BLOCK_IO_ERROR", IO_ERROR, 1.000001),
        event("STOP", None, 1.000002),
        status("io-error", 1.1),
        event("RESUME", None, 2.000003),
    )


def test_a_stop_is_a_span_of_qemus_time_to_the_microsecond() -> None:
    """With its cause, its error and its events."""
    traced = running()
    stopped(traced)
    span = traced.span("qemu.stop")
    assert (span.start_time, span.end_time) == (at(1.000002), at(2.000003))
    assert span.status.status_code is StatusCode.ERROR
    assert dict(span.attributes or {}) == {"qemu.stop.cause": "io-error", "error.type": "io-error"}
    assert [(e.name, e.timestamp, dict(e.attributes or {})) for e in span.events] == [
        ("qemu.stop", at(1.000002), {"qemu.cause": "qemu.block_io_error"}),
        ("qemu.resume", at(2.000003), {}),
    ]


def test_a_stop_is_linked_to_the_span_of_its_cause() -> None:
    """That of the activity, which is another trace."""
    traced = running()
    stopped(traced)
    traced.sink.close()
    stop, activity = traced.span("qemu.stop"), traced.span("qemu.activity")
    (link_,) = stop.links
    assert link_.context == activity.context
    assert dict(link_.attributes or {}) == {"qmp_exporter.link": "cause"}
    assert stop.parent is None
    assert stop.context is not None
    assert activity.context is not None
    assert stop.context.trace_id != activity.context.trace_id
    (error,) = activity.events
    assert dict(error.attributes or {}) == {
        "qemu.device": "ide0-hd0",
        "qemu.operation": "read",
        "qemu.action": "stop",
        "qemu.reason": "broken",
        "error.type": "io-error",
    }


def test_the_stop_of_a_migration_is_a_child_of_it() -> None:
    """In the same trace; numbers are attributes of their own type."""
    traced = running()
    traced.feed(
        event("MIGRATION", {"status": "setup"}, 1),
        event("STOP", None, 2),
        status("finish-migrate", 2.1),
        event("MIGRATION", {"status": "completed"}, 3),
        status("postmigrate", 3.1),
        reply(Ask.MIGRATE, MigrationInfo("completed", 250, MigratedRam(4096)), 3.2),
    )
    migration, stop = traced.span("qemu.migration"), traced.span("qemu.stop")
    assert stop.parent == migration.context
    assert (stop.start_time, stop.end_time) == (at(2), at(3))
    assert dict(migration.attributes or {}) == {
        "qemu.migration.role": "source",
        "qemu.migration.outcome": "completed",
        "qemu.migration.downtime": 0.25,
        "qemu.migration.transferred": 4096,
    }
    assert migration.status.status_code is StatusCode.UNSET


def test_segments_are_of_one_trace_and_linked() -> None:
    """The first is the parent of the later ones; each is linked to the one before."""
    traced = running()
    traced.feed(event("MIGRATION", {"status": "setup"}, 1))
    traced.feed(*(event("MIGRATION_PASS", {"pass": n}, 2 + n / 100) for n in range(MAX_EVENTS * 2)))
    traced.sink.close()
    one, two, three = (span for span in traced.spans if span.name == "qemu.migration")
    assert two.parent == three.parent == one.context
    assert [span.context for span in (one, two)] == [s.links[0].context for s in (two, three)]
    assert [len(span.events) for span in (one, two, three)] == [100, 100, 1]
    assert {dict(s.links[0].attributes or {})["qmp_exporter.link"] for s in (two, three)} == {
        "previous"
    }


def test_each_step_says_where_it_is() -> None:
    """An event the span that has it, a reply that explains a stop that of the stop, others none."""
    traced = running()
    assert traced.traces == [None, None, None]
    stopped(traced)
    traced.sink.close()
    activity, stop = traced.span("qemu.activity").context, traced.span("qemu.stop").context
    found = [trace and (trace.trace_id, trace.span_id) for trace in traced.traces[3:]]
    expected = [
        (format_trace_id(c.trace_id), format_span_id(c.span_id))
        for c in (activity, stop, stop, stop)
        if c is not None
    ]
    assert found == expected


def test_what_is_not_sampled_is_nowhere() -> None:
    """No span, and no trace to be an exemplar of."""
    traced = running(sampler=ALWAYS_OFF)
    stopped(traced)
    traced.sink.close()
    assert traced.spans == []
    assert traced.traces == [None] * 7


def test_a_sampler_decides_for_whole_traces() -> None:
    """A child is sampled if its parent is: all or nothing of a migration."""
    traced = running(sampler=TraceIdRatioBased(0.5))
    for n in range(20):
        traced.feed(
            event("MIGRATION", {"status": "setup"}, n),
            event("STOP", None, n + 0.1),
            event("RESUME", None, n + 0.2),
            event("MIGRATION", {"status": "failed"}, n + 0.3),
        )
    traced.sink.close()
    migrations = {
        s.context.trace_id for s in traced.spans if s.name == "qemu.migration" and s.context
    }
    stops = {s.context.trace_id for s in traced.spans if s.name == "qemu.stop" and s.context}
    assert migrations == stops
    assert 0 < len(migrations) < 20


def test_a_link_leads_to_what_is_exported() -> None:
    """One trace is sampled and the next is not: what is not is linked to by none."""
    traced = running(sampler=TraceIdRatioBased(0.5))
    for n in range(100):
        traced.feed(event("RTC_CHANGE", {"offset": 1}, 40 * n))
        traced.sink.tick(5_000.0 + 40 * n + MAX_ACTIVITY)
    exported = {span.context.span_id for span in traced.spans if span.context}
    linked = {other.context.span_id for span in traced.spans for other in span.links}
    assert linked
    assert linked <= exported


def test_without_events_there_are_the_spans_alone() -> None:
    """`--otel.events log`: what is on which span is told by the log records."""
    traced = running(events=False)
    stopped(traced)
    traced.sink.close()
    assert {span.name for span in traced.spans} == {"qmp.connect", "qemu.stop", "qemu.activity"}
    assert [list(span.events) for span in traced.spans] == [[], [], []]
    assert all(record.log_record.trace_id for record in traced.records)
    causes = [(record.log_record.attributes or {}).get("qemu.cause") for record in traced.records]
    assert causes == [None, "qemu.block_io_error", None]


def test_the_sink_forgets_spans_that_nothing_refers_to() -> None:
    """However long a VM lives, what is kept of its spans is bounded."""
    traced = running()
    for n in range(500):
        stopped(traced)
        traced.sink.tick(5_000.0 + 40 * n)
    spans = traced.sink._vms["web"]
    assert len(spans.open) <= 3
    assert len(spans._contexts) <= 6


@pytest.mark.parametrize("key", ["k", "k" * 60])
def test_the_largest_events_make_a_batch_that_a_collector_takes(key: str) -> None:
    """Whatever a VM says, it does not cost the others of the batch their spans: 4 MiB by gRPC."""
    traced = running()
    data = {f"{key}{number}": "\u00fc" * 150 for number in range(64)}
    given = event("NEWER_THAN_US", data, 1)
    traced.feed(*(given for _ in range(MOST_SENT + MAX_EVENTS)))
    traced.sink.close()
    assert encode_spans(traced.spans).ByteSize() < 4 * 2**20
    assert encode_logs(traced.logged[:512]).ByteSize() < 4 * 2**20


def test_time_ends_segments_and_activity(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clocks that the application has."""
    traced = running()
    traced.feed(event("RTC_CHANGE", {"offset": 1}, 1), event("MIGRATION", {"status": "setup"}, 2))
    monkeypatch.setattr(module, "time", lambda: START + 700)
    traced.sink.tick(5_000.0 + 31)
    assert traced.span("qemu.activity").end_time == at(1)
    traced.sink.tick(5_002.0 + MAX_AGE)
    assert traced.span("qemu.migration").end_time == at(700)


def test_a_vm_that_is_renamed_goes_on_in_the_same_span() -> None:
    """Spans that begin after that are of the new name; what had that name before is over."""
    traced = running()
    traced.feed(vnc("CONNECTED", "1", 1))
    traced.feed(connected(), event("STOP", None, 1), vm="other")
    traced.sink.rename("web", "other")
    traced.vms["other"] = traced.vms.pop("web")
    traced.feed(event("STOP", None, 2), vnc("DISCONNECTED", "1", 3), vm="other")
    traced.sink.forget("other")
    shown = [(s.name, s.resource.attributes["qemu.vm"]) for s in traced.spans]
    assert shown == [
        ("qmp.connect", "web"),
        ("qmp.connect", "other"),
        ("qemu.stop", "other"),
        ("qemu.display.session", "web"),
        ("qemu.stop", "other"),
    ]
    assert [name for name, _ in traced.asked] == ["web", "other", "other"]


def test_another_process_has_another_tracer() -> None:
    """Its spans have its identity."""
    traced = running()
    traced.feed(event("STOP", None, 1), lost(2), link(TargetState.GONE, 2.1))
    traced.feed(connected(3, pid=2, uuid="another"), ready(3.1))
    assert [uuid for _, uuid in traced.asked][-1] == "another"
    assert traced.span("qemu.stop").attributes is not None


def test_a_vm_that_is_forgotten_ends_what_was_under_way() -> None:
    """Nobody will see its end; nothing is left of it."""
    traced = running()
    traced.feed(event("STOP", None, 1))
    traced.sink.forget("web")
    attributes = dict(traced.span("qemu.stop").attributes or {})
    assert attributes["qmp_exporter.incomplete"] is True
    assert traced.sink._vms == {}


def test_clients_without_a_span_are_counted() -> None:
    """By the name of the operation."""
    traced = running()
    traced.feed(*(vnc("CONNECTED", str(n), n / 100) for n in range(MAX_CLIENTS + 3)))
    assert traced.crowded == ["qemu.display.session"] * 3


@pytest.mark.parametrize("addresses", [False, True])
def test_addresses_of_clients_are_told_only_if_wanted(*, addresses: bool) -> None:
    """They are people's; all else that QEMU says is told."""
    traced = running(addresses=addresses)
    traced.feed(vnc("CONNECTED", "4711", 1))
    traced.sink.close()
    (noted,) = traced.span("qemu.display.session").events
    assert ("qemu.client.service" in (noted.attributes or {})) is addresses
    assert ("4711" in repr(traced.records[-1].log_record.attributes)) is addresses
    assert (noted.attributes or {})["qemu.server.auth"] == "none"
