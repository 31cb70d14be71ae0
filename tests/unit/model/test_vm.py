"""A VM from first contact to its end: run states, sessions, exits."""

from __future__ import annotations

import pytest

from builders import Watch, connected, event, link, lost, reply, status
from qmp_exporter.catalog.states import RUN_STATES, ExitCause, TargetState
from qmp_exporter.catalog.text import label_text
from qmp_exporter.model.changes import Connected, Exited
from qmp_exporter.model.inputs import Ask
from qmp_exporter.model.replies import MigrationInfo
from qmp_exporter.model.vm import VM, asking


EXITS = "qemu_vm_exits_total"
STATUS = "qemu_vm_status"


def vm(state: str = "running") -> Watch:
    """Return a VM in that run state."""
    watch = Watch()
    watch.all(connected(), status(state))
    return watch


def gone(watch: Watch, at: float = 90.0) -> dict[tuple[str, ...], float]:
    """Let QEMU end, and return what is counted of it."""
    watch.all(lost(at), link(TargetState.GONE, at + 0.25))
    return watch.risen(EXITS, at + 1)


def shutdown(reason: str, *, guest: bool) -> tuple[str, object]:
    """Return a SHUTDOWN."""
    return "SHUTDOWN", {"guest": guest, "reason": reason}


POWEROFF = ("WATCHDOG", {"action": "poweroff"})
PANIC = ("GUEST_PANICKED", {"action": "poweroff"})
GUEST = shutdown("guest-shutdown", guest=True)
QUIT = shutdown("host-qmp-quit", guest=False)
SIGNAL = shutdown("host-signal", guest=False)
RESUME = ("RESUME", None)
RESET = ("RESET", {"guest": True, "reason": "guest-reset"})


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        ([GUEST], "guest-shutdown"),
        ([shutdown("guest-reset", guest=True)], "guest-shutdown"),
        ([("SHUTDOWN", None)], "guest-shutdown"),
        ([QUIT], "host-quit"),
        ([shutdown("host-ui", guest=False)], "host-quit"),
        ([SIGNAL], "signal"),
        ([shutdown("guest-panic", guest=True)], "panic"),
        ([shutdown("host-error", guest=False)], "crash"),
        ([GUEST, SIGNAL], "guest-shutdown"),
        ([GUEST, RESUME, SIGNAL], "signal"),
        ([GUEST, RESET, QUIT, SIGNAL], "host-quit"),
        ([PANIC, SIGNAL], "signal"),
        ([GUEST, ("STOP", None)], "guest-shutdown"),
        ([GUEST, RESUME], "crash"),
        ([GUEST, RESET], "crash"),
        ([GUEST, RESUME, QUIT], "host-quit"),
        ([POWEROFF], "watchdog"),
        ([("WATCHDOG", {"action": "pause"})], "crash"),
        ([GUEST, POWEROFF], "guest-shutdown"),
        ([POWEROFF, RESET], "crash"),
        ([PANIC], "panic"),
        ([PANIC, ("STOP", None)], "panic"),
        ([GUEST, PANIC], "guest-shutdown"),
        ([("GUEST_PANICKED", {"action": "pause"})], "crash"),
        ([PANIC, RESET], "crash"),
        ([], "crash"),
    ],
)
def test_why_it_ended(told: list[tuple[str, object]], cause: str) -> None:
    """The first SHUTDOWN since RESUME or RESET, then watchdog, then panic, else crash."""
    watch = vm()
    for at, (name, data) in enumerate(told):
        watch.feed(event(name, data, at))
    assert gone(watch) == {(cause,): 1}


@pytest.mark.parametrize("state", ["inmigrate", "postmigrate"])
def test_what_moved_away_or_did_not_arrive_did_not_crash(state: str) -> None:
    """The end of a source, or of a destination that waits, is the migration's doing."""
    assert gone(vm(state)) == {("migration",): 1}


@pytest.mark.parametrize("end", [QUIT, SIGNAL])
def test_a_source_that_is_told_to_end_has_migrated(end: tuple[str, object]) -> None:
    """Its manager ends what is left of it; one that waits for its memory was told to end."""
    watch = vm("postmigrate")
    watch.feed(event(*end, 1))
    assert gone(watch) == {("migration",): 1}
    watch = vm("inmigrate")
    watch.feed(event(*end, 1))
    assert gone(watch) != {("migration",): 1}


def test_a_destination_that_failed_ends_by_the_migration() -> None:
    """Whatever its run state was: there was nothing to run."""
    watch = vm("inmigrate")
    for at, state in enumerate(("setup", "active", "failed"), 1):
        watch.feed(event("MIGRATION", {"status": state}, at))
    watch.feed(status("internal-error", 5))
    assert gone(watch) == {("migration",): 1}


def test_a_source_that_failed_crashed() -> None:
    """A failed migration does not end its source."""
    watch = vm()
    for at, state in enumerate(("setup", "active", "failed"), 1):
        watch.feed(event("MIGRATION", {"status": state}, at))
    assert gone(watch) == {("crash",): 1}


def test_a_source_that_dies_while_it_copies_crashed() -> None:
    """So does one that never got to an outcome."""
    watch = vm()
    watch.feed(event("MIGRATION", {"status": "active"}, 1))
    assert gone(watch) == {("crash",): 1}


@pytest.mark.parametrize(
    "state",
    [s for s in TargetState if s not in {TargetState.GONE, TargetState.REFUSED}],
)
def test_a_lost_connection_is_no_end(state: TargetState) -> None:
    """A hang-up, of ours or another, does not say that QEMU has ended."""
    watch = vm()
    watch.all(lost(1), link(state, 2))
    assert watch.risen(EXITS) == {}
    assert watch.risen(STATUS) == {("running",): 1}


@pytest.mark.parametrize("state", [TargetState.GONE, TargetState.REFUSED])
def test_nobody_at_the_address_is_an_end(state: TargetState) -> None:
    """ENOENT and ECONNREFUSED: counted once, even if the loss itself was not seen."""
    watch = vm()
    watch.all(event("STOP", at=1), status("paused", 1))
    watch.all(link(state, 5), link(state, 6), link(TargetState.GONE, 7))
    assert watch.risen(EXITS) == {("crash",): 1}
    assert watch.risen("qemu_vm_stopped_seconds_total", 99) == {("host",): 4}
    assert not watch.vm.watched


def test_a_monitor_without_a_vm_has_no_end() -> None:
    """A socket that was never there is not an exit."""
    watch = Watch()
    watch.all(link(TargetState.GONE, 1), link(TargetState.REFUSED, 2))
    assert watch.changes == []
    assert not watch.vm.ended


@pytest.mark.parametrize(("pid", "started"), [(4712, 5.0), (4711, 5.0)])
def test_another_process_is_an_end(pid: int, started: float) -> None:
    """Another pid, or the same one started at another time: the first one has ended unseen."""
    watch = vm()
    watch.all(event(*SIGNAL, 1), lost(2), connected(3, pid=pid, started=started))
    assert watch.changes[-2:] == [Exited(ExitCause.SIGNAL), Connected(fresh=True)]
    assert watch.risen(EXITS) == {("signal",): 1}


@pytest.mark.parametrize("pid", [4711, None])
def test_the_same_process_is_no_end(pid: int | None) -> None:
    """The same pid, or one that cannot be read: it is taken for the same QEMU."""
    watch = vm()
    watch.all(lost(2), connected(3, pid=pid))
    assert watch.changes[-1] == Connected(fresh=False)
    assert watch.risen(EXITS) == {}
    assert watch.value("qmp_exporter_connects_total") == 2


def test_an_old_shutdown_is_not_why_the_next_process_ends() -> None:
    """Each process has its own end."""
    watch = vm()
    watch.feed(event(*GUEST, 1))
    assert gone(watch, 2) == {("guest-shutdown",): 1}
    watch.all(connected(5, pid=4712), status("running", 5))
    assert gone(watch, 6) == {("guest-shutdown",): 1, ("crash",): 1}


def test_at_its_end_everything_reads_zero() -> None:
    """Up, running and all rows of the run state are 0 at once, and stay there."""
    watch = vm()
    assert watch.value("qemu_process_start_time_seconds") is not None
    gone(watch)
    assert watch.value("qemu_up") == 0
    assert watch.value("qemu_vm_running") == 0
    assert watch.rows(STATUS) == {(state,): 0 for state in RUN_STATES}
    assert watch.rows("qemu_process_start_time_seconds") == {}
    assert len(watch.rows("qemu_vm_info")) == 1
    assert watch.vm.ended


def test_before_the_first_contact_there_is_only_the_monitor() -> None:
    """A VM that nobody has seen has no run state, no info, no counters of events."""
    watch = Watch()
    for metric in ("qemu_vm_info", STATUS, "qemu_vm_running", "qemu_events_total", EXITS):
        assert watch.rows(metric) == {}
    assert watch.value("qemu_up") == 0
    assert watch.risen("qmp_exporter_target_state") == {("connecting",): 1}


@pytest.mark.parametrize("state", [*RUN_STATES, "a state of QEMU 99"])
def test_each_run_state_is_shown(state: str) -> None:
    """One row of qemu_vm_status is 1, `other` for one that is not known."""
    watch = vm(state)
    shown = state if state in RUN_STATES else "other"
    assert watch.risen(STATUS) == {(shown,): 1}
    assert watch.value("qemu_vm_running") == (state == "running")
    watch.feed(status("running", 5))
    assert watch.rows(STATUS).keys() == {(state,) for state in RUN_STATES}


def test_who_it_is() -> None:
    """Name, uuid, version, architecture and monitor are in one row of qemu_vm_info."""
    watch = vm()
    identity = watch.vm.identity
    assert identity is not None
    assert watch.rows("qemu_vm_info") == {
        ("web", identity.uuid, "11.1.3", "x86_64", identity.monitor): 1
    }
    assert watch.value("qemu_process_start_time_seconds") == identity.started


def test_finish_migrate_after_the_end_is_postmigrate() -> None:
    """Only where the migration has completed."""
    watch = vm()
    watch.feed(status("finish-migrate", 1))
    assert watch.risen(STATUS) == {("finish-migrate",): 1}
    watch.all(reply(Ask.MIGRATE, MigrationInfo("completed"), 2), status("finish-migrate", 3))
    assert watch.risen(STATUS) == {("postmigrate",): 1}


def test_nothing_is_asked_twice() -> None:
    """What is not answered yet is not asked again; the rest of a question is."""
    first = asking(VM(), (), Ask.STATUS)
    assert first.asks == (Ask.STATUS,)
    assert asking(first.vm, (), Ask.STATUS).asks == ()
    second = asking(first.vm, (), Ask.STATUS, Ask.BLOCK)
    assert second.asks == (Ask.BLOCK,)
    assert second.vm.asked == {Ask.STATUS, Ask.BLOCK}


def test_labels_that_the_configuration_gives_join_who_it_is() -> None:
    """Cut to what a label may be, and new at the next contact; no other metric has them."""
    watch = Watch()
    watch.feed(connected(labels=(("tier", "web"), ("rack", "r\n" + "1" * 200))))
    page = watch.page(0)
    (line,) = [line for line in page.splitlines() if line.startswith("qemu_vm_info{")]
    rack = label_text("r\n" + "1" * 200)
    assert line.endswith(f',tier="web",rack="{rack}"}} 1')
    assert page.count("tier=") == 1
    watch.all(lost(1), connected(2, labels=(("layer", "web"), ("rack", "r2"))))
    page = watch.page(2)
    assert ',layer="web",rack="r2"} 1' in page
    assert "tier=" not in page
