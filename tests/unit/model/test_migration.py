"""Migrations: both ends, their outcomes, and how long they took."""

from __future__ import annotations

import pytest

from builders import START, Watch, connected, event, link, lost, reply, status
from qmp_exporter.catalog.states import (
    MIGRATION_IDLE,
    MIGRATION_OUTCOMES,
    MIGRATION_STATUSES,
    MIGRATION_SWITCHED,
    Role,
    TargetState,
)
from qmp_exporter.model.apply import MOST_EARLY
from qmp_exporter.model.changes import MigrationBegan, MigrationEnded
from qmp_exporter.model.inputs import Ask
from qmp_exporter.model.migration import Migration
from qmp_exporter.model.replies import MigratedRam, MigrationInfo


STATUS = "qemu_migration_status"
TOTAL = "qemu_migrations_total"
DURATION = "qemu_migration_last_duration_seconds"
DOWNTIME = "qemu_migration_last_downtime_seconds"
TRANSFERRED = "qemu_migration_last_transferred_bytes"
PASS = "qemu_migration_pass"  # noqa: S105 - of a migration


def vm(state: str = "running") -> Watch:
    """Return a VM in that run state."""
    watch = Watch()
    watch.all(connected(), status(state))
    return watch


def go(watch: Watch, *statuses: str, at: float = 1.0) -> None:
    """Let a migration go through statuses, a second apart."""
    for later, state in enumerate(statuses):
        watch.feed(event("MIGRATION", {"status": state}, at + later))


@pytest.mark.parametrize("outcome", MIGRATION_OUTCOMES)
def test_a_source_counts_its_outcome(outcome: str) -> None:
    """Setup to outcome is one migration of the source, with its duration."""
    watch = vm()
    go(watch, "setup", "active", outcome)
    assert watch.risen(TOTAL) == {("source", outcome): 1}
    assert watch.value(DURATION) == 2
    assert watch.changes[1:] == [
        MigrationBegan(Role.SOURCE),
        MigrationEnded(Role.SOURCE, outcome, 2.0),
    ]


@pytest.mark.parametrize("outcome", MIGRATION_OUTCOMES)
def test_a_destination_counts_its_outcome(outcome: str) -> None:
    """A VM that was `inmigrate` when we connected is the other end."""
    watch = vm("inmigrate")
    go(watch, "setup", "active", outcome)
    assert watch.risen(TOTAL) == {("destination", outcome): 1}
    assert watch.asks == [Ask.STATUS]


def test_a_vm_that_goes_inmigrate_is_a_destination() -> None:
    """It may be told to wait for a migration later."""
    watch = vm("prelaunch")
    watch.feed(status("inmigrate", 1))
    go(watch, "setup", "active", "completed")
    assert watch.risen(TOTAL) == {("destination", "completed"): 1}


def test_a_vm_that_arrived_may_be_the_next_source() -> None:
    """The same process is a destination once, and a source after that."""
    watch = vm("inmigrate")
    go(watch, "setup", "active")
    watch.feed(event("RESUME", at=3))
    go(watch, "completed", at=3)
    go(watch, "setup", "completed", at=9)
    assert watch.risen(TOTAL) == {("destination", "completed"): 1, ("source", "completed"): 1}


def test_a_vm_whose_arrival_was_not_seen_may_be_a_source() -> None:
    """Without the events of its arrival, a VM that runs is no destination of what begins now."""
    watch = vm("inmigrate")
    watch.feed(event("RESUME", at=1))
    go(watch, "setup", "completed", at=9)
    assert watch.risen(TOTAL) == {("source", "completed"): 1}


def test_a_setup_before_the_run_state_is_known_leaves_the_role() -> None:
    """Events come before the first answer; they do not make a destination a source."""
    watch = vm("inmigrate")
    watch.all(lost(1), connected(2))
    go(watch, "setup", "failed", at=2)
    assert watch.risen(TOTAL) == {("destination", "failed"): 1}


def test_a_migration_under_way_asks_nothing() -> None:
    """Neither its begin nor its statuses, nor an outcome that is told again."""
    watch = vm()
    go(watch, "setup", "active", "device", "none")
    assert watch.asks == []
    go(watch, "setup", "failed", at=9)
    watch.all(reply(Ask.MIGRATE, MigrationInfo("failed"), 11), status("running", 11))
    go(watch, "failed", at=12)
    assert watch.asks == [Ask.MIGRATE, Ask.STATUS]


def test_a_destination_that_failed_once_is_not_lost_for_ever() -> None:
    """What began after that, as a source, may end by a crash."""
    watch = vm("inmigrate")
    go(watch, "setup", "failed")
    watch.feed(status("running", 5))
    go(watch, "setup", "cancelled", at=9)
    watch.all(lost(20), link(TargetState.GONE, 21))
    assert watch.risen("qemu_vm_exits_total") == {("crash",): 1}


def test_a_vm_that_arrived_is_a_source_though_the_begin_is_missed() -> None:
    """Its next migration may be seen only from the middle."""
    watch = vm("inmigrate")
    go(watch, "setup", "completed")
    go(watch, "active", "completed", at=9)
    assert watch.risen(TOTAL) == {("destination", "completed"): 1, ("source", "completed"): 1}


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
def test_a_vm_that_did_not_arrive_is_still_a_destination(outcome: str) -> None:
    """Only one that completed has arrived."""
    watch = vm("inmigrate")
    go(watch, "setup", outcome)
    go(watch, "active", "completed", at=9)
    assert watch.risen(TOTAL).keys() == {("destination", outcome), ("destination", "completed")}


@pytest.mark.parametrize("outcome", MIGRATION_OUTCOMES)
def test_an_outcome_of_a_source_asks_once(outcome: str) -> None:
    """query-migrate gives downtime and bytes, query-status the run state."""
    watch = vm()
    go(watch, "setup", "active", outcome)
    assert watch.asks == [Ask.MIGRATE, Ask.STATUS]
    watch.feed(status("running", 4))
    info = MigrationInfo(status=outcome, downtime=35, ram=MigratedRam(transferred=1 << 30))
    watch.feed(reply(Ask.MIGRATE, info, 5))
    assert watch.value(DOWNTIME) == 0.035
    assert watch.value(TRANSFERRED) == 1 << 30
    assert watch.value(STATUS, outcome) == 1
    assert watch.risen(TOTAL) == {("source", outcome): 1}


def test_an_outcome_that_qemu_has_not_reckoned_is_asked_for_again() -> None:
    """QEMU 7.2 says completed, and only then how long it was: until then the times are 0."""
    watch = vm()
    go(watch, "setup", "active", "completed")
    early = MigrationInfo("completed", 0, MigratedRam(9), total_time=0)
    for at in (4, 5):
        watch.feed(reply(Ask.MIGRATE, early, at))
        assert (watch.value(DOWNTIME), watch.value(TRANSFERRED)) == (None, None)
    assert watch.asks.count(Ask.MIGRATE) == 3
    watch.feed(reply(Ask.MIGRATE, MigrationInfo("completed", 0, MigratedRam(9), total_time=7), 6))
    assert watch.asks.count(Ask.MIGRATE) == 3
    assert watch.value(DOWNTIME) == 0
    assert watch.value(TRANSFERRED) == 9


def test_an_outcome_that_is_never_reckoned_is_not_asked_for_for_ever() -> None:
    """A VM is asked so often, and with the next migration as often again."""
    watch = vm()
    early = MigrationInfo("completed", 0, MigratedRam(9), total_time=0)
    for turn in (1, 2):
        go(watch, "setup", "completed", at=1000.0 * turn)
        for at in range(MOST_EARLY):
            watch.feed(reply(Ask.MIGRATE, early, 1000.0 * turn + 2 + at))
        assert watch.asks.count(Ask.MIGRATE) == MOST_EARLY * turn
        assert watch.vm.asked == {Ask.STATUS}
    assert watch.value(DOWNTIME) is None


def test_what_a_reply_does_not_tell_stays() -> None:
    """A failed migration has no downtime: the last one that had is still the last."""
    watch = vm()
    info = MigrationInfo(status="completed", downtime=35, ram=MigratedRam(transferred=9))
    watch.all(reply(Ask.MIGRATE, info, 1), reply(Ask.MIGRATE, MigrationInfo("failed"), 2))
    assert (watch.value(DOWNTIME), watch.value(TRANSFERRED)) == (0.035, 9)
    assert watch.value(STATUS, "failed") == 1


def test_a_begin_that_was_not_seen_gives_no_duration() -> None:
    """Only `setup` is a begin; one found under way is counted, and not timed."""
    watch = vm()
    go(watch, "active", "completed")
    assert watch.risen(TOTAL) == {("source", "completed"): 1}
    assert watch.rows(DURATION) == {}
    assert watch.changes[-1] == MigrationEnded(Role.SOURCE, "completed", None)


def test_one_found_under_way_gives_no_duration() -> None:
    """What query-migrate tells at connect is no begin either."""
    watch = vm()
    watch.feed(reply(Ask.MIGRATE, MigrationInfo("active"), 1))
    assert watch.value(STATUS, "active") == 1
    go(watch, "completed", at=5)
    assert watch.rows(DURATION) == {}
    assert watch.risen(TOTAL) == {("source", "completed"): 1}


def test_an_outcome_without_a_begin_has_no_duration() -> None:
    """Not even since the begin of the one before."""
    watch = vm()
    go(watch, "setup", "completed")
    go(watch, "failed", at=60)
    assert watch.changes[-1] == MigrationEnded(Role.SOURCE, "failed", None)
    assert watch.value(DURATION) == 1


def test_a_destination_that_recovers_is_still_one() -> None:
    """QEMU 7.2 sends `setup` there, when the VM runs already: one migration, from its begin on."""
    watch = vm("inmigrate")
    go(watch, "setup", "active", "postcopy-active")
    watch.all(event("RESUME", None, 4), status("running", 4))
    go(watch, "postcopy-paused", "setup", "postcopy-recover", "postcopy-active", at=5)
    go(watch, "completed", at=9)
    assert watch.risen(TOTAL) == {("destination", "completed"): 1}
    assert watch.value(DURATION) == 8
    assert [c for c in watch.changes if isinstance(c, MigrationBegan)] == [
        MigrationBegan(Role.DESTINATION)
    ]


def test_setup_is_else_always_a_begin() -> None:
    """Also where the end of the one before was missed."""
    watch = vm()
    go(watch, "setup", "active", at=1)
    go(watch, "setup", "active", "completed", at=10)
    assert watch.value(DURATION) == 2
    assert watch.changes.count(MigrationBegan(Role.SOURCE)) == 2


def test_a_clock_set_back_gives_no_negative_duration() -> None:
    """QEMU's stamps may jump; a duration is 0 at least."""
    watch = vm()
    watch.feed(event("MIGRATION", {"status": "setup"}, 100))
    watch.feed(event("MIGRATION", {"status": "completed"}, 40, late=61))
    assert watch.value(DURATION) == 0


def test_an_outcome_told_twice_counts_once() -> None:
    """QEMU repeats an outcome at times."""
    watch = vm()
    go(watch, "setup", "failed", "failed")
    assert watch.risen(TOTAL) == {("source", "failed"): 1}


@pytest.mark.parametrize("state", [*MIGRATION_STATUSES, "a status of QEMU 99"])
def test_each_status_is_shown(state: str) -> None:
    """One row of qemu_migration_status is 1, `other` for a status that is not known."""
    watch = vm()
    assert watch.rows(STATUS) == {}
    go(watch, state)
    shown = state if state in MIGRATION_STATUSES else "other"
    assert watch.risen(STATUS) == {(shown,): 1}
    assert len(watch.rows(STATUS)) == len(MIGRATION_STATUSES) + (shown == "other")


def test_no_migration_is_no_begin() -> None:
    """The status `none` says that there was none."""
    watch = vm()
    go(watch, "none")
    assert watch.changes[1:] == []
    watch.feed(reply(Ask.MIGRATE, MigrationInfo(), 5))
    assert watch.risen(STATUS) == {("none",): 1}
    assert Migration().read(MigrationInfo()) == Migration()


def test_an_unknown_status_in_a_reply_is_other() -> None:
    """A new QEMU cannot make a new series."""
    watch = vm()
    watch.feed(reply(Ask.MIGRATE, MigrationInfo("a status of QEMU 99"), 5))
    assert watch.risen(STATUS) == {("other",): 1}


def test_which_statuses_are_under_way() -> None:
    """All but `none` and the outcomes; of those, where the guest has been stopped for it."""
    under_way = {s for s in MIGRATION_STATUSES if Migration(status=s).open}
    assert under_way == set(MIGRATION_STATUSES) - MIGRATION_IDLE
    assert not Migration().open
    switched = {s for s in MIGRATION_STATUSES if Migration(status=s).switched}
    assert switched == set(MIGRATION_SWITCHED) < under_way


def test_the_source_ends_in_postmigrate() -> None:
    """QEMU says `completed` before it leaves finish-migrate; the VM has gone all the same."""
    watch = vm()
    go(watch, "setup", "active")
    watch.all(event("STOP", at=3), status("finish-migrate", 3))
    go(watch, "completed", at=4)
    assert watch.value("qemu_vm_status", "postmigrate") == 1
    watch.feed(status("finish-migrate", 4))
    assert watch.value("qemu_vm_status", "postmigrate") == 1
    assert watch.risen("qemu_vm_stopped_seconds_total", 99) == {("migration",): 1}
    assert watch.risen("qemu_vm_stops_total") == {("migration",): 1}


def test_a_stop_that_is_held_at_the_outcome_waits_for_its_reply() -> None:
    """The outcome may come before the answer to the STOP: the answer still decides."""
    watch = vm()
    go(watch, "setup", "active")
    watch.feed(event("STOP", at=3))
    go(watch, "completed", at=4)
    watch.all(status("finish-migrate", 4.2), status("postmigrate", 4.5))
    assert watch.risen("qemu_vm_stops_total") == {("migration",): 1}
    assert watch.risen("qemu_vm_stopped_seconds_total", 99) == {("migration",): 1.5}


def test_a_failed_migration_leaves_the_vm_as_it_was() -> None:
    """A source that failed runs on; its run state is asked for."""
    watch = vm()
    go(watch, "setup", "active", "failed")
    assert watch.value("qemu_vm_status", "running") == 1


def test_the_end_of_qemu_ends_a_migration() -> None:
    """One under way counts as failed, with its duration; one that ended does not count again."""
    watch = vm()
    go(watch, "setup", "active")
    watch.all(lost(5), link(TargetState.GONE, 6))
    assert watch.risen(TOTAL) == {("source", "failed"): 1}
    assert watch.value(DURATION) == 5
    watch = vm()
    go(watch, "setup", "completed")
    watch.all(lost(5), link(TargetState.GONE, 6))
    assert watch.risen(TOTAL) == {("source", "completed"): 1}


def test_the_pass_is_that_of_the_current_migration() -> None:
    """It begins at 0, as a new QEMU does not tell of the first; passes are counted over all."""
    watch = vm()
    go(watch, "setup")
    assert watch.value(PASS) == 0
    watch.all(event("MIGRATION_PASS", {"pass": 1}, 2), event("MIGRATION_PASS", {"pass": 2}, 3))
    assert watch.value(PASS) == 2
    go(watch, "completed", at=4)
    assert watch.value(PASS) == 2
    go(watch, "setup", at=5)
    assert watch.value(PASS) == 0
    assert watch.value("qemu_migration_passes_total") == 2


def test_a_destination_has_no_passes() -> None:
    """It is not told of them, so it has no row."""
    watch = vm("inmigrate")
    go(watch, "setup", "active")
    assert watch.rows(PASS) == {}


def test_the_outcome_is_in_qemus_time() -> None:
    """Durations are between stamps, however late the events arrive."""
    began = Migration().went("setup", START)[0]
    ended, changes = began.went("cancelled", START + 90)
    assert (ended.seconds, changes) == (90, (MigrationEnded(Role.SOURCE, "cancelled", 90.0),))
