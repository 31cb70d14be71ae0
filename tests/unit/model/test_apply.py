"""The one way in which anything changes a VM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builders import (
    BOOT,
    START,
    Watch,
    blocks,
    connected,
    drive,
    event,
    link,
    lost,
    reply,
    spice_channels,
    status,
    vnc,
    vnc_clients,
)
from qmp_exporter.catalog.states import LostCause, Protocol, TargetState
from qmp_exporter.model.apply import MAX_READINGS, apply
from qmp_exporter.model.changes import Disconnected, Overflowed
from qmp_exporter.model.inputs import Ask
from qmp_exporter.model.replies import (
    Balloon,
    BlockDevices,
    MigratedRam,
    MigrationInfo,
    Spice,
    VncServers,
)
from qmp_exporter.model.vm import ENDING, VM


if TYPE_CHECKING:
    from qmp_exporter.model.inputs import Input


BALLOON = "query-balloon"
RTC = "qemu_rtc_offset_seconds"
PORT = "qemu_virtio_serial_port_open"


def watched() -> Watch:
    """Return a VM that runs, with one disk."""
    watch = Watch()
    watch.all(connected(), status("running"), blocks(drive("disk0")))
    return watch


NOTHING_NEW = {
    "an event that only counts": event("GUEST_CRASHLOADED", {"action": "run"}, 9),
    "an event without an entry": event("VCPU_MELTED", {"id": "x"}, 9),
    "a gauge set by an older event": event("RTC_CHANGE", {"offset": 5}, 1, late=1),
    "the run state that is known": status("running", 9),
    "no answer": status(None, 9),
    "an answer that is none": reply("query-name", None, 9),
    "no VNC server": reply(Ask.VNC, VncServers(), 9),
    "the clients that are known": vnc_clients("5000", at=9),
    "no SPICE server": reply(Ask.SPICE, Spice(), 9),
    "no balloon": reply(BALLOON, None, 9),
    "no migration": reply(Ask.MIGRATE, MigrationInfo(), 9),
    "RESUME of a VM that runs": event("RESUME", at=9),
    "a wake-up of a VM that is awake": event("WAKEUP", at=9),
    "a disconnect of nobody": vnc("DISCONNECTED", "1", 9),
    "a reset in a burst": event("RESET", {"guest": True, "reason": "guest-reset"}, 2.5),
    "the state of the monitor that is known": link(TargetState.CONNECTED, 9),
}


@pytest.mark.parametrize("given", NOTHING_NEW.values(), ids=NOTHING_NEW)
def test_what_changes_nothing_returns_the_same_vm(given: Input) -> None:
    """A step that changes nothing holds the very same VM, so that nothing is rendered again."""
    watch = watched()
    watch.all(
        event("RTC_CHANGE", {"offset": 4}, 2),
        event("RESET", {"guest": True, "reason": "guest-reset"}, 2),
        vnc("CONNECTED", "5000", 2),
        vnc("INITIALIZED", "5000", 2),
    )
    vm = watch.vm
    assert apply(vm, given).vm is vm


def test_what_changes_something_does_not() -> None:
    """The VM before is left as it was."""
    vm = VM()
    assert apply(vm, connected()).vm is not vm
    assert vm == VM()


@pytest.mark.parametrize(
    ("name", "old", "new", "metric", "values"),
    [
        ("RTC_CHANGE", {"offset": 4}, {"offset": 5}, RTC, ()),
        (
            "BALLOON_CHANGE",
            {"actual": 4},
            {"actual": 5},
            "qemu_balloon_actual_bytes",
            (),
        ),
        (
            "VSERPORT_CHANGE",
            {"id": "a", "open": True},
            {"id": "a", "open": False},
            PORT,
            ("a",),
        ),
        ("MIGRATION_PASS", {"pass": 2}, {"pass": 3}, "qemu_migration_pass", ()),
        (
            "DUMP_COMPLETED",
            {"result": {"status": "failed", "completed": 1, "total": 2}},
            {"result": {"status": "failed", "completed": 3, "total": 4}},
            "qemu_dump_written_bytes",
            (),
        ),
    ],
)
def test_a_late_event_moves_no_gauge(
    name: str, old: object, new: object, metric: str, values: tuple[str, ...]
) -> None:
    """A gauge keeps the youngest value by QEMU's stamp; the event itself is counted."""
    watch = watched()
    watch.feed(event(name, new, 2))
    newest = watch.value(metric, *values)
    watch.feed(event(name, old, 1, late=1.5))
    assert watch.value(metric, *values) == newest
    assert watch.value("qemu_events_total", name) == 2
    watch.feed(event(name, old, 2))
    assert watch.value(metric, *values) != newest


def test_late_events_are_told_apart_by_key() -> None:
    """An old event of one port is not held back by a young one of another."""
    watch = watched()
    watch.feed(event("VSERPORT_CHANGE", {"id": "a", "open": True}, 5))
    watch.feed(event("VSERPORT_CHANGE", {"id": "b", "open": True}, 1, late=5))
    assert watch.rows(PORT) == {("a",): 1, ("b",): 1}


def test_an_event_older_than_the_state_that_was_read_moves_no_gauge() -> None:
    """The balloon that was read at connect is younger than an event stamped before that."""
    watch = watched()
    watch.feed(reply(BALLOON, Balloon(1 << 30), 1))
    watch.feed(event("BALLOON_CHANGE", {"actual": 5}, 0.5, late=1))
    assert watch.value("qemu_balloon_actual_bytes") == 1 << 30
    watch.feed(event("BALLOON_CHANGE", {"actual": 5}, 2))
    assert watch.value("qemu_balloon_actual_bytes") == 5


def test_the_newest_event_is_the_newest_by_its_stamp() -> None:
    """A late event does not move the timestamp of the last event back."""
    watch = watched()
    watch.all(event("POWERDOWN", at=5.5), event("WAKEUP", at=4, late=2))
    assert watch.value("qemu_last_event_timestamp_seconds") == START + 5.5


def test_readings_survive_a_reconnection_of_one_process() -> None:
    """What only events tell is still so when the same QEMU answers again."""
    watch = watched()
    watch.all(event("RTC_CHANGE", {"offset": 7}, 1), lost(2), connected(3))
    assert watch.value(RTC) == 7


def test_a_fresh_process_clears_what_no_query_can_seed() -> None:
    """Clock, ports, dumps and the pass of a migration are those of the process that told them."""
    watch = watched()
    watch.all(
        event("RTC_CHANGE", {"offset": 7}, 1),
        event("VSERPORT_CHANGE", {"id": "a", "open": True}, 1),
        event("MIGRATION", {"status": "setup"}, 1),
        event("MIGRATION_PASS", {"pass": 2}, 1),
        event("DUMP_COMPLETED", {"result": {"status": "failed", "completed": 0, "total": 9}}, 1),
    )
    told = (RTC, PORT, "qemu_migration_pass", "qemu_migration_status", "qemu_dump_size_bytes")
    assert all(watch.rows(metric) for metric in told)
    watch.all(lost(2), link(TargetState.GONE, 3))
    assert all(watch.rows(metric) for metric in told)
    watch.feed(connected(4, pid=4712))
    assert not any(watch.rows(metric) for metric in told)
    assert watch.value("qemu_events_total", "RTC_CHANGE") == 1


def test_readings_are_bounded() -> None:
    """A VM that opens ever new ports is shown no more than a limit, and that is counted."""
    watch = Watch(label_sets=10**6)
    watch.feed(connected())
    for number in range(MAX_READINGS + 3):
        watch.feed(event("VSERPORT_CHANGE", {"id": f"port{number}", "open": True}, number))
    assert len(watch.rows(PORT)) == MAX_READINGS
    assert watch.overflows == [PORT] * 3
    watch.feed(event("VSERPORT_CHANGE", {"id": "port0", "open": False}, 9999))
    assert watch.value(PORT, "port0") == 0
    assert watch.changes[1:] == [Overflowed(PORT)] * 3


def test_a_disconnection_is_counted_once() -> None:
    """A session that was established ends once, whatever the monitor does after that."""
    watch = watched()
    watch.all(lost(1), lost(2), link(TargetState.BUSY, 3))
    assert watch.risen("qmp_exporter_disconnects_total") == {("eof",): 1}
    assert watch.value("qmp_exporter_connects_total") == 1


def test_a_connection_that_never_stood_is_no_disconnection() -> None:
    """Neither a monitor lost before its state was read nor one that never negotiated counts."""
    watch = Watch()
    watch.all(lost(1), link(TargetState.UNRESPONSIVE, 2), lost(3))
    assert watch.changes == []
    assert watch.rows("qmp_exporter_disconnects_total").keys() >= {("eof",)}
    assert watch.risen("qmp_exporter_disconnects_total") == {}


def test_a_quiet_vm_is_still_watched() -> None:
    """A VM that does not answer reads down, and its session goes on when it does."""
    watch = watched()
    watch.all(link(TargetState.UNRESPONSIVE, 1))
    assert watch.value("qemu_up") == 0
    assert watch.vm.watched
    watch.all(link(TargetState.CONNECTED, 5))
    assert watch.value("qemu_up") == 1
    assert watch.value("qmp_exporter_connects_total") == 1
    assert watch.value("qmp_exporter_unobserved_seconds_total", at=9) == 0


@pytest.mark.parametrize("state", TargetState)
def test_unobserved_seconds(state: TargetState) -> None:
    """They pass while the VM is known and not watched, unless QEMU is known to be gone."""
    watch = watched()
    watch.all(lost(10), link(state, 12))
    watched_or_gone = {TargetState.GONE, TargetState.REFUSED}
    if state is TargetState.CONNECTED:
        watch.feed(connected(12))
    expected = 2 if state in {*watched_or_gone, TargetState.CONNECTED} else 10
    assert watch.value("qmp_exporter_unobserved_seconds_total", at=20) == expected


@pytest.mark.parametrize(("seconds", "unobserved"), [(0.75, 0), (ENDING, 0), (1.25, 1.25)])
def test_the_ending_of_qemu_is_not_unobserved(seconds: float, unobserved: float) -> None:
    """Between the end of the stream and the next dial nothing could be missed; it never falls."""
    counter = "qmp_exporter_unobserved_seconds_total"
    watch = watched()
    watch.all(lost(10))
    before = watch.value(counter, at=10 + seconds)
    watch.all(link(TargetState.GONE, 10 + seconds))
    assert watch.value(counter, at=20) == unobserved == before


def test_a_monitor_that_was_never_reached_is_unobserved() -> None:
    """Denied, busy and not QMP: there is a VM, and nobody watches it."""
    watch = Watch()
    assert watch.value("qmp_exporter_unobserved_seconds_total", at=5) == 0
    watch.feed(link(TargetState.DENIED, 5))
    assert watch.value("qmp_exporter_unobserved_seconds_total", at=9) == 4
    assert apply(watch.vm, link(TargetState.GONE, 11)).vm.unobserved.seconds(BOOT + 20) == 6


def test_replies_seed_the_state() -> None:
    """What is read after connecting is shown: run state, disks, displays, migration, balloon."""
    watch = Watch()
    watch.all(
        connected(),
        status("running"),
        blocks(drive("disk0", io="nospace"), drive("", "disk1", "#block9")),
        reply(
            Ask.MIGRATE,
            MigrationInfo(status="active", downtime=250, ram=MigratedRam(transferred=4096)),
        ),
        vnc_clients("1", "2"),
        spice_channels(("1", 1), ("2", 2)),
        reply(BALLOON, Balloon(1 << 20)),
    )
    assert watch.value("qemu_vm_running") == 1
    assert watch.rows("qemu_block_io_status").keys() == {
        (disk, state) for disk in ("disk0", "disk1") for state in ("ok", "failed", "nospace")
    }
    assert watch.value("qemu_migration_status", "active") == 1
    assert watch.value("qemu_migration_last_downtime_seconds") == 0.25
    assert watch.value("qemu_migration_last_transferred_bytes") == 4096
    assert watch.rows("qemu_display_connections") == {("vnc",): 2, ("spice",): 2}
    assert watch.rows("qemu_display_sessions") == {("vnc",): 2, ("spice",): 1}
    assert watch.value("qemu_balloon_actual_bytes") == 1 << 20


def test_an_answer_of_another_kind_changes_nothing() -> None:
    """A reply is what it says; it may come for a command nobody asked for."""
    watch = watched()
    watch.feed(reply("query-name", BlockDevices(), 5))
    assert watch.rows("qemu_block_io_status") == {}
    assert watch.vm.asked == frozenset()


def test_displays_are_shown_when_a_query_says_so() -> None:
    """A VM without displays has no display rows; one with a VNC server has them at 0."""
    watch = watched()
    assert watch.rows("qemu_display_connects_total") == {}
    watch.feed(vnc_clients())
    assert watch.rows("qemu_display_connects_total") == {("vnc",): 0}
    assert watch.rows("qemu_display_incomplete_connects_total") == {("vnc",): 0}
    assert watch.rows("qemu_display_connections") == {("vnc",): 0}
    watch.feed(spice_channels())
    assert watch.rows("qemu_display_sessions") == {("vnc",): 0, ("spice",): 0}
    assert set(watch.vm.displays) == set(Protocol)


def test_the_loss_of_a_session_says_how() -> None:
    """The reason of a disconnection is the one the session gave."""
    watch = watched()
    step = watch.feed(lost(1))
    assert step.changes == (Disconnected(LostCause.EOF),)
