"""What people see of each VM, and the journal."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from builders import BOOT, IDENTITY, START, connected, event, link, lost, status
from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.catalog.spec import Severity
from qmp_exporter.catalog.states import LostCause, TargetState
from qmp_exporter.journal import SIZE, Entry, Journal
from qmp_exporter.model.apply import apply
from qmp_exporter.model.inputs import Input
from qmp_exporter.model.vm import VM, Step
from qmp_exporter.sinks import page
from qmp_exporter.sinks.page import BURST, LEAST, MAX_NAME, TIMELINE, Glance, PageSink


NOTHING = VM()


def take(sink: PageSink, vm: str, name: str, at: float = 0.0, data: Any = None) -> None:
    """Let an event happen."""
    sink.take(vm, event(name, data, at), NOTHING, Step(NOTHING), None)


def live(sink: PageSink, *inputs: Input) -> None:
    """Let a VM called web be given inputs."""
    vm = NOTHING
    for given in inputs:
        step = apply(vm, given)
        sink.take("web", given, vm, step, None)
        vm = step.vm


def told(sink: PageSink, vm: str = "web") -> list[str]:
    """What the timeline of a VM tells, in a line each."""
    return [" ".join(filter(None, (e.event, e.details))) for e in sink.glance(vm).timeline]


@pytest.fixture
def sink() -> PageSink:
    """A sink with two VMs."""
    found = PageSink()
    found.add("web")
    found.add("db", VM())
    return found


def test_at_first_nothing_has_happened(sink: PageSink) -> None:
    """No event, and none of any kind."""
    assert sink.glance("web") == Glance("web")
    assert sink.glance("web").total == sink.glance("web").of("STOP") == 0


def test_events_are_counted_by_kind(sink: PageSink) -> None:
    """Each VM has its own; what is in no catalog is one kind."""
    for name in ("STOP", "RESUME", "STOP", "VCPU_MELTED", "NEW"):
        take(sink, "web", name)
    glance = sink.glance("web")
    assert glance.events == {"STOP": 2, "RESUME": 1, "other": 2}
    assert (glance.total, glance.of("STOP")) == (5, 2)
    assert sink.glance("db").total == 0


def test_the_last_event_is_the_newest(sink: PageSink) -> None:
    """By QEMU's stamp; of two at one time the one that came later."""
    take(sink, "web", "STOP", 5)
    take(sink, "web", "WATCHDOG_OLD", 4)
    assert sink.glance("web").last_event == "STOP"
    take(sink, "web", "RESUME", 5)
    glance = sink.glance("web")
    assert (glance.last_event, glance.last_time) == ("RESUME", START + 5)


def test_the_last_event_is_the_newest_after_a_clock_was_set_back(sink: PageSink) -> None:
    """What comes much later than its stamp says is new all the same."""
    take(sink, "web", "STOP", 3000)
    take(sink, "web", "RESUME", 20)
    glance = sink.glance("web")
    assert (glance.last_event, glance.last_time) == ("RESUME", START + 20)


def test_a_long_name_is_cut(sink: PageSink) -> None:
    """An event may be called anything."""
    take(sink, "web", "X" * 5000)
    assert sink.glance("web").last_event == "X" * MAX_NAME


def test_other_inputs_are_no_events(sink: PageSink) -> None:
    """A reply is nothing that happened."""
    sink.take("web", status("running"), VM(), Step(VM()), None)
    assert sink.glance("web").total == 0


def test_a_new_name_takes_all(sink: PageSink) -> None:
    """What happened goes with the VM."""
    take(sink, "web", "STOP", 5)
    glance = sink.glance("web")
    sink.rename("web", "www")
    renamed = sink.glance("www")
    assert renamed.events == glance.events
    assert (renamed.last_event, renamed.last_time) == ("STOP", START + 5)
    assert list(renamed.timeline) == list(glance.timeline)
    assert sink.glance("web") == Glance()


@pytest.mark.parametrize(("web", "db", "last"), [(5, 6, "RESUME"), (6, 5, "STOP")])
def test_a_name_that_was_somebodys_adds_up(sink: PageSink, web: int, db: int, last: str) -> None:
    """The next holder goes on with the counts; the newest event is the last."""
    take(sink, "web", "STOP", web)
    take(sink, "db", "RESUME", db)
    take(sink, "db", "STOP", db - 1)
    sink.rename("web", "db")
    glance = sink.glance("db")
    assert glance.events == {"STOP": 2, "RESUME": 1}
    assert (glance.last_event, glance.last_time) == (last, START + 6)


def test_nothing_is_kept_of_who_is_forgotten(sink: PageSink) -> None:
    """One of that name begins anew."""
    take(sink, "web", "STOP")
    sink.forget("web")
    assert sink.glance("web") == Glance()
    sink.add("web")
    assert sink.glance("web").total == 0


# ---- the journal


def test_everything_that_happens_is_an_entry(sink: PageSink) -> None:
    """With the time and the severity of its kind, and what the catalog keeps of its data."""
    data = {"device": "", "qom-path": "/machine/peripheral/disk1", "nospace": True}
    take(sink, "web", "BLOCK_IO_ERROR", 3, data | {"operation": "write", "action": "stop"})
    (entry,) = sink.glance("web").timeline
    details = "device=disk1 operation=write action=stop nospace"
    assert entry == Entry(1, "web", "BLOCK_IO_ERROR", START + 3, details, Severity.ERROR)
    assert sink.journal.newest(5) == (entry,)
    assert sink.glance("db").timeline == ()


def test_an_event_of_no_catalog_keeps_its_name(sink: PageSink) -> None:
    """As far as it is one."""
    take(sink, "web", "VCPU_MELTED")
    take(sink, "web", "<\n" + "X" * 5000)
    assert told(sink) == ["VCPU_MELTED", "<?" + "X" * (MAX_NAME - 2)]


def test_a_stop_gets_its_cause_once_it_is_known(sink: PageSink) -> None:
    """In its own entry, which may have been read before."""
    live(sink, connected(), event("STOP", at=1))
    assert told(sink) == ["connected", "STOP"]
    changes = sink.journal.changes
    live(sink, connected(), event("STOP", at=1), status("watchdog", 1.5))
    assert told(sink)[-1] == "STOP cause=watchdog"
    assert sink.journal.changes > changes


def test_what_becomes_of_the_monitor_is_told(sink: PageSink) -> None:
    """A loss with its reason, an end with its cause; not that it is tried once more."""
    live(
        sink,
        link(TargetState.REFUSED),
        link(TargetState.CONNECTING, 1),
        connected(2),
        link(TargetState.UNRESPONSIVE, 3),
        link(TargetState.CONNECTED, 4),
        lost(5),
        link(TargetState.GONE, 6),
    )
    assert told(sink) == [
        "refused",
        "connected",
        "unresponsive",
        "connected",
        f"connecting lost={LostCause.EOF}",
        "gone ended=crash",
    ]
    severities = [entry.severity for entry in sink.glance("web").timeline]
    assert severities[2] is Severity.WARN
    assert severities[-1] is Severity.ERROR
    assert sink.glance("web").ended == "crash"


def test_an_end_is_over_when_another_qemu_answers(sink: PageSink) -> None:
    """Then nothing is said of how the last one ended."""
    live(sink, connected(), link(TargetState.GONE, 1), connected(2, pid=IDENTITY.pid))
    assert sink.glance("web").ended == ""


def test_a_storm_is_told_in_few_words(sink: PageSink) -> None:
    """The first ones as they are, the others as one entry; no event is left out of the counts."""
    for _ in range(BURST + 500):
        take(sink, "web", "RESUME", 1)
    take(sink, "web", "STOP", 1)
    take(sink, "db", "RESUME", 1)
    assert told(sink) == ["RESUME"] * BURST + ["STOP"]
    sink.tick(BOOT + 1.5)
    assert told(sink) == ["RESUME"] * BURST + ["STOP"]
    sink.tick(BOOT + 2.5)
    last = sink.glance("web").timeline[-1]
    assert (last.event, last.count, last.time) == ("RESUME", 500, START + 1)
    assert sum(entry.count for entry in sink.glance("web").timeline) == BURST + 501
    assert sink.glance("web").total == BURST + 501
    sink.tick(BOOT + 9)
    assert sink.journal.last == BURST + 3


def test_a_storm_that_goes_on_is_told_every_second(sink: PageSink) -> None:
    """Without a tick, too."""
    for at in (1.0, 2.5):
        for _ in range(BURST + 5):
            take(sink, "web", "RESUME", at)
    entries = sink.glance("web").timeline
    assert [entry.count for entry in entries] == [1] * BURST + [5] + [1] * BURST
    assert entries[BURST].time == START + 1


def test_a_storm_of_days_takes_no_more_room_than_one_of_seconds(sink: PageSink) -> None:
    """However the ticks fall between its bursts, it is remembered once."""
    for second in range(100):
        for _ in range(BURST + 5):
            take(sink, "web", "RESUME", 1.0 * second)
        sink.tick(BOOT + second + 0.5)
    assert len(sink._storms) == 1
    sink.tick(BOOT + 200)
    assert sink._storms == []
    assert sink.glance("web").total == 100 * (BURST + 5)
    for at in (300.0, 302.0):  # and another one is told, too
        for _ in range(BURST + 5):
            take(sink, "web", "RESUME", at)
        sink.tick(BOOT + at + 1.5)
        assert sink.glance("web").timeline[-1].count == 5


@pytest.mark.parametrize("new", ["www", "db"])
def test_a_storm_survives_another_name(sink: PageSink, new: str) -> None:
    """Its events are told under the name that they came under."""
    take(sink, "db", "STOP", 0)
    for _ in range(BURST + 5):
        take(sink, "web", "RESUME", 1)
    sink.rename("web", new)
    sink.tick(BOOT + 9)
    entries = [entry for entry in sink.glance(new).timeline if entry.event == "RESUME"]
    assert sum(entry.count for entry in entries) == BURST + 5
    assert sink.glance(new).of("RESUME") == BURST + 5
    numbers = [entry.number for entry in sink.glance(new).timeline]
    assert numbers == sorted(numbers)


def test_a_storm_of_who_is_forgotten_is_forgotten(sink: PageSink) -> None:
    """A tick after that does no harm."""
    for _ in range(BURST + 5):
        take(sink, "web", "RESUME", 1)
    sink.forget("web")
    sink.tick(BOOT + 9)
    assert sink.journal.last == BURST


def test_a_timeline_has_a_bound(sink: PageSink) -> None:
    """The oldest go first, and the journal of all VMs has its own bound."""
    for at in range(SIZE + 10):
        take(sink, "web", "RESUME", at)
    timeline = sink.glance("web").timeline
    assert len(timeline) == TIMELINE
    assert timeline[-1].number == SIZE + 10
    assert len(sink.journal.newest(10 * SIZE)) == SIZE


def test_many_machines_share_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes later, each has at least a few entries, and all together no more."""
    monkeypatch.setattr(page, "ALL_TIMELINES", 200)
    sink = PageSink()

    def kept() -> list[int]:
        return [len(glance.timeline) for glance in sink._glances.values()]

    for number in range(100):
        sink.add(f"vm{number}")
        for at in range(60):
            take(sink, f"vm{number}", "RESUME", 2.0 * at)
        assert sum(kept()) <= max(200, LEAST * len(sink._glances))
    assert kept() == [LEAST] * 100
    for number in range(98):
        sink.forget(f"vm{number}")
    for at in range(60):
        take(sink, "vm99", "RESUME", 500 + 2.0 * at)
    assert kept() == [LEAST, TIMELINE]


@pytest.mark.parametrize("spec", EVENTS, ids=lambda spec: spec.name)
def test_an_entry_is_small_whatever_was_sent(spec: Any) -> None:
    """However long every text of it is: an entry stays under 1.5 KiB."""
    sink = PageSink(Journal(4))
    sink.add("web")
    for sample in spec.samples:
        data = json.loads(
            json.dumps(sample),
            object_hook=lambda found: {
                key: "\U0001f4a5" * 500 if isinstance(value, str) else value
                for key, value in found.items()
            },
        )
        take(sink, "web", spec.name, 0, data)
    entries = [e for e in sink.journal.newest(9) if e.event == spec.name]
    assert len(entries) == len(spec.samples)
    for entry in entries:
        size = sys.getsizeof(entry) + sum(
            sys.getsizeof(getattr(entry, name)) for name in ("vm", "event", "time", "details")
        )
        assert size < 1536


def test_an_idle_machine_costs_little(sink: PageSink) -> None:
    """No timeline and no counts of its own before anything happens."""
    sink.add("idle")
    glance = sink.glance("idle")
    assert glance.timeline == ()
    assert sys.getsizeof(glance) + sys.getsizeof(glance.kinds) < 256
