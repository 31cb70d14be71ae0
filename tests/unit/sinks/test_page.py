"""What people see of each VM."""

from __future__ import annotations

import pytest

from builders import START, event, status
from qmp_exporter.model.vm import VM, Step
from qmp_exporter.sinks.page import MAX_NAME, Glance, PageSink


def take(sink: PageSink, vm: str, name: str, at: float = 0.0) -> None:
    """Let an event happen."""
    sink.take(vm, event(name, None, at), VM(), Step(VM()))


@pytest.fixture
def sink() -> PageSink:
    """A sink with two VMs."""
    found = PageSink()
    found.add("web")
    found.add("db", VM())
    return found


def test_at_first_nothing_has_happened(sink: PageSink) -> None:
    """No event, and none of any kind."""
    assert sink.glance("web") == Glance({})
    assert sink.glance("web").total == sink.glance("web").of("STOP") == 0


def test_events_are_counted_by_kind(sink: PageSink) -> None:
    """Each VM has its own; what is in no catalog is one kind."""
    for name in ("STOP", "RESUME", "STOP", "VFIO_MIGRATION", "NEW"):
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


def test_a_long_name_is_cut(sink: PageSink) -> None:
    """An event may be called anything."""
    take(sink, "web", "X" * 5000)
    assert sink.glance("web").last_event == "X" * MAX_NAME


def test_other_inputs_are_no_events(sink: PageSink) -> None:
    """A reply is nothing that happened."""
    sink.take("web", status("running"), VM(), Step(VM()))
    assert sink.glance("web").total == 0


def test_a_new_name_takes_all(sink: PageSink) -> None:
    """What happened goes with the VM."""
    take(sink, "web", "STOP", 5)
    glance = sink.glance("web")
    sink.rename("web", "www")
    assert sink.glance("www") == glance
    assert sink.glance("web") == Glance({})


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
    assert sink.glance("web") == Glance({})
    sink.add("web")
    assert sink.glance("web").total == 0
