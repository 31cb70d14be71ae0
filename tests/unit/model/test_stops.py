"""Why a VM is stopped and for how long, from the events of its monitor to the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builders import Watch, connected, event, link, lost, status
from qmp_exporter.catalog.states import RUN_STATES, StopCause, TargetState
from qmp_exporter.model.inputs import Ask
from qmp_exporter.model.stops import Stops


if TYPE_CHECKING:
    from qmp_exporter.model.event import Event


STOPS = "qemu_vm_stops_total"
SECONDS = "qemu_vm_stopped_seconds_total"

IO_ERROR = {"device": "disk0", "operation": "write", "action": "stop"}
ANNOUNCING = {
    "io-error": ("BLOCK_IO_ERROR", IO_ERROR),
    "watchdog": ("WATCHDOG", {"action": "pause"}),
    "guest-panic": ("GUEST_PANICKED", {"action": "pause"}),
    "guest-shutdown": ("SHUTDOWN", {"guest": True, "reason": "guest-shutdown"}),
    "host-shutdown": ("SHUTDOWN", {"guest": False, "reason": "host-qmp-quit"}),
}
OF_A_RUN_STATE = {
    "io-error": "io-error",
    "watchdog": "watchdog",
    "guest-panicked": "guest-panic",
    "internal-error": "internal-error",
    "finish-migrate": "migration",
    "postmigrate": "migration",
    "save-vm": "snapshot",
    "restore-vm": "snapshot",
    "paused": "host",
    "shutdown": "other",
    "debug": "other",
    "colo": "other",
    "a state of QEMU 99": "other",
    "running": "other",
    "suspended": "other",
    "prelaunch": "other",
    "inmigrate": "other",
}


def running() -> Watch:
    """Return a VM that runs."""
    watch = Watch()
    watch.all(connected(), status("running"))
    return watch


def announced(cause: str, at: float, late: float = 0.0) -> Event:
    """Return the event that announces a STOP of that cause."""
    name, data = ANNOUNCING[cause]
    return event(name, data, at, late=late)


def test_every_run_state_is_spoken_of_here() -> None:
    """A run state that is added to the catalog needs a line in the table above."""
    assert set(RUN_STATES) <= OF_A_RUN_STATE.keys()


@pytest.mark.parametrize(("state", "cause"), OF_A_RUN_STATE.items())
def test_the_reply_decides(state: str, cause: str) -> None:
    """A STOP is counted with the cause that query-status tells, whatever it reads."""
    watch = running()
    watch.all(event("STOP", at=1), status(state, 1.5))
    assert watch.risen(STOPS) == {(cause,): 1}


@pytest.mark.parametrize("state", ["io-error", "watchdog", "guest-panicked", "internal-error"])
def test_the_reply_is_stronger_than_an_announcement(state: str) -> None:
    """An event that went before does not matter where query-status tells the cause."""
    watch = running()
    watch.all(announced("host-shutdown", 1), event("STOP", at=1), status(state, 2))
    assert watch.risen(STOPS) == {(OF_A_RUN_STATE[state],): 1}


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        ({"guest": True, "reason": "guest-shutdown"}, "guest-shutdown"),
        ({"guest": False, "reason": "host-qmp-quit"}, "host-shutdown"),
        (None, "guest-shutdown"),
    ],
)
def test_shutdown_is_told_apart_by_the_last_shutdown(data: object, cause: str) -> None:
    """query-status says `shutdown` for both; SHUTDOWN said who wanted it, however long ago."""
    watch = running()
    watch.all(event("SHUTDOWN", data, 1), event("STOP", at=60), status("shutdown", 60))
    assert watch.risen(STOPS) == {(cause,): 1}


def test_a_shutdown_of_another_process_tells_nothing() -> None:
    """A QEMU that is found shut down did not get there by the SHUTDOWN of the one before it."""
    watch = running()
    watch.all(announced("guest-shutdown", 1), lost(2), link(TargetState.GONE, 3))
    watch.all(connected(10, pid=4712), status("shutdown", 10))
    assert watch.risen(SECONDS, 20) == {("other",): 10}


@pytest.mark.parametrize("state", ["pre-switchover", "device", "postcopy-active"])
def test_paused_in_a_migration_is_migration(state: str) -> None:
    """`paused` is the migration's doing where it is switching over or past that."""
    watch = running()
    watch.all(
        event("MIGRATION", {"status": "setup"}, 1),
        event("MIGRATION", {"status": state}, 1),
        event("STOP", at=2),
        status("paused", 2),
    )
    assert watch.risen(STOPS) == {("migration",): 1}


def test_paused_while_a_migration_copies_is_the_host() -> None:
    """A migration that is still copying does not stop the guest: somebody did."""
    watch = running()
    watch.all(event("MIGRATION", {"status": "active"}, 1), event("STOP", at=2), status("paused", 2))
    assert watch.risen(STOPS) == {("host",): 1}


@pytest.mark.parametrize("cause", ANNOUNCING)
@pytest.mark.parametrize("earlier", [0.0, 0.5, 1.0])
def test_an_announcement_counts_where_the_reply_does_not_come(cause: str, earlier: float) -> None:
    """Without an answer in time the event stamped at most 1 s before the STOP tells the cause."""
    watch = running()
    watch.all(announced(cause, 1 - earlier), event("STOP", at=1), status(None, 11))
    assert watch.risen(STOPS) == {(cause,): 1}


@pytest.mark.parametrize("cause", ANNOUNCING)
def test_an_announcement_counts_where_the_reply_reads_running(cause: str) -> None:
    """A VM that runs again when it answers was stopped by what was announced."""
    watch = running()
    watch.all(announced(cause, 1), event("STOP", at=1), status("running", 1.5))
    assert watch.risen(STOPS) == {(cause,): 1}
    assert watch.risen(SECONDS, 9) == {(cause,): 0.5}


def test_an_announcement_is_not_believed_for_long() -> None:
    """What was stamped more than 1 s before the STOP, or after it, does not tell its cause."""
    watch = running()
    watch.all(announced("watchdog", 1), event("STOP", at=2.25), status(None, 3))
    watch.all(event("STOP", at=4), announced("io-error", 4.5), status(None, 5))
    assert watch.risen(STOPS) == {("other",): 2}


@pytest.mark.parametrize("cause", ANNOUNCING)
@pytest.mark.parametrize("earlier", [0.25, 1.0])
def test_an_announcement_may_come_after_its_stop(cause: str, earlier: float) -> None:
    """QEMU's rate limit delays events: the stamp, not the order, says what went before."""
    watch = running()
    watch.all(event("STOP", at=1), announced(cause, 1 - earlier, late=1.5), status(None, 11))
    assert watch.risen(STOPS) == {(cause,): 1}


@pytest.mark.parametrize("stamp", [-0.25, 1.0, 1.25])
def test_what_comes_after_a_stop_is_not_always_its_cause(stamp: float) -> None:
    """Nor is it where its stamp is the STOP's, or later, or more than 1 s earlier."""
    watch = running()
    watch.all(event("STOP", at=1), announced("watchdog", stamp, late=2), status(None, 11))
    assert watch.risen(STOPS) == {("other",): 1}


def test_an_event_after_the_stop_does_not_take_its_cause() -> None:
    """SHUTDOWN follows the STOP of a panic; the panic stays the cause."""
    watch = running()
    watch.all(announced("guest-panic", 1), event("STOP", at=1.25), announced("host-shutdown", 1.5))
    watch.feed(lost(2))
    assert watch.risen(STOPS) == {("guest-panic",): 1}


def test_the_last_announcement_counts_in_whichever_order_they_come() -> None:
    """Of two announcements the younger by its stamp is believed, even if it came first."""
    watch = running()
    watch.all(announced("io-error", 0.75), event("STOP", at=1))
    watch.all(announced("watchdog", 0.5, late=1), status(None, 11))
    assert watch.risen(STOPS) == {("io-error",): 1}
    watch.all(event("RESUME", at=12), announced("io-error", 14))
    watch.all(announced("watchdog", 13.5, late=1), event("STOP", at=14.5), status(None, 20))
    assert watch.risen(STOPS) == {("io-error",): 2}


def test_what_comes_late_may_still_be_the_last_before_the_stop() -> None:
    """An event after the STOP does not keep the one before it, which comes last, from counting."""
    watch = running()
    watch.all(event("STOP", at=1), announced("host-shutdown", 1.5))
    watch.all(announced("watchdog", 0.75, late=1), status(None, 11))
    assert watch.risen(STOPS) == {("watchdog",): 1}


@pytest.mark.parametrize(("first", "cause"), [(1.0, "other"), (1.25, "watchdog")])
def test_a_clock_that_was_set_back_is_believed(first: float, cause: str) -> None:
    """An announcement stamped more than 1 s after the next one is of another time."""
    watch = running()
    watch.all(announced("io-error", first), announced("watchdog", 0), event("STOP", at=0.25))
    watch.feed(status(None, 11))
    assert watch.risen(STOPS) == {(cause,): 1}


@pytest.mark.parametrize("action", ["reset", "shutdown", "debug", "none", "inject-nmi"])
def test_a_watchdog_that_does_not_pause_announces_nothing(action: str) -> None:
    """Only the action `pause` stops the machine."""
    watch = running()
    watch.all(event("WATCHDOG", {"action": action}, 1), event("STOP", at=1), status(None, 2))
    assert watch.risen(STOPS) == {("other",): 1}


@pytest.mark.parametrize("action", ["report", "ignore"])
def test_an_error_that_is_reported_announces_nothing(action: str) -> None:
    """Only the action `stop` stops the machine."""
    watch = running()
    error = IO_ERROR | {"action": action}
    watch.all(event("BLOCK_IO_ERROR", error, 1), event("STOP", at=1), status(None, 2))
    assert watch.risen(STOPS) == {("other",): 1}


def test_a_panic_that_runs_on_announces_nothing() -> None:
    """With the action `run` the machine is not stopped."""
    watch = running()
    watch.all(event("GUEST_PANICKED", {"action": "run"}, 1), event("STOP", at=1), status(None, 2))
    assert watch.risen(STOPS) == {("other",): 1}


def test_a_stop_of_a_migrating_source_is_migration_if_nobody_says_else() -> None:
    """A source stops to hand over, often too quickly to answer."""
    watch = running()
    watch.all(event("MIGRATION", {"status": "active"}, 1), event("STOP", at=5))
    watch.feed(event("RESUME", at=6))
    assert watch.risen(STOPS) == {("migration",): 1}
    assert watch.risen(SECONDS, 9) == {("migration",): 1}


def test_resume_before_the_reply_settles_the_stop() -> None:
    """The STOP is counted at RESUME, its seconds too, and the late reply changes nothing."""
    watch = running()
    watch.all(announced("io-error", 1), event("STOP", at=1))
    assert watch.risen(STOPS) == {}
    watch.feed(event("RESUME", at=1.5))
    assert watch.risen(STOPS) == {("io-error",): 1}
    watch.feed(status("running", 2))
    assert watch.risen(STOPS) == {("io-error",): 1}
    assert watch.risen(SECONDS, 9) == {("io-error",): 0.5}


def test_the_end_of_the_stream_settles_the_stop() -> None:
    """A connection lost before the answer counts the STOP by its announcement."""
    watch = running()
    watch.all(announced("watchdog", 1), event("STOP", at=1), lost(3))
    assert watch.risen(STOPS) == {("watchdog",): 1}
    assert watch.risen(SECONDS, 9) == {("watchdog",): 2}


def test_the_end_of_qemu_settles_the_stop() -> None:
    """So does another process that answers, though no loss was seen."""
    watch = running()
    watch.all(announced("watchdog", 1), event("STOP", at=1), connected(3, pid=4712))
    assert watch.risen(STOPS) == {("watchdog",): 1}


def test_time_settles_the_stop() -> None:
    """No answer within the session's limit (a reply of None) counts the STOP as `other`."""
    watch = running()
    watch.all(event("STOP", at=1), status(None, 11))
    assert watch.risen(STOPS) == {("other",): 1}
    assert watch.risen(SECONDS, 12) == {("other",): 11}


def test_another_stop_settles_the_one_held() -> None:
    """Two STOPs are two, whatever is lost between them."""
    watch = running()
    watch.all(announced("watchdog", 1), event("STOP", at=1), event("STOP", at=5))
    assert watch.risen(STOPS) == {("watchdog",): 1}
    watch.feed(status("watchdog", 6))  # perhaps of the first
    assert watch.risen(STOPS) == {("watchdog",): 1}
    watch.feed(status("io-error", 6.5))
    assert watch.risen(STOPS) == {("watchdog",): 1, ("io-error",): 1}
    assert watch.risen(SECONDS, 9) == {("watchdog",): 4, ("io-error",): 4}


def test_one_query_at_a_time() -> None:
    """A STOP asks for the run state; a second one before the answer asks after it."""
    watch = running()
    watch.all(event("STOP", at=1), event("RESUME", at=2), event("STOP", at=3))
    assert watch.asks == [Ask.STATUS]
    watch.feed(status("paused", 4))
    assert watch.asks == [Ask.STATUS] * 2
    watch.feed(status("paused", 5))
    assert watch.asks == [Ask.STATUS] * 2


def test_a_run_state_from_before_an_event_is_not_believed() -> None:
    """QEMU may send the answer after the event, whichever way it goes: it is asked again."""
    watch = running()
    watch.all(event("STOP", at=1), event("RESUME", at=2), status("paused", 3))
    assert watch.value("qemu_vm_running") == 1
    watch.all(event("STOP", at=4), status("running", 5))
    assert watch.value("qemu_vm_running") == 0
    watch.feed(status("io-error", 6))
    assert watch.asks == [Ask.STATUS] * 3
    assert watch.risen(STOPS) == {("other",): 1, ("io-error",): 1}
    assert watch.risen(SECONDS, 9) == {("other",): 1, ("io-error",): 5}


def test_an_answer_that_fails_is_not_asked_for_again() -> None:
    """Doubted or not: a VM that does not answer is not asked for ever."""
    watch = running()
    watch.all(event("STOP", at=1), event("RESUME", at=2), status(None, 12))
    assert watch.asks == [Ask.STATUS]
    assert watch.vm.asked == watch.vm.doubted == frozenset()


def test_a_lost_connection_answers_nothing() -> None:
    """What was asked on a connection that ended is asked again on the next."""
    watch = running()
    watch.all(event("STOP", at=1), lost(2), connected(3), status("paused", 3))
    watch.all(event("RESUME", at=4), event("STOP", at=5))
    assert watch.asks == [Ask.STATUS] * 2


def test_the_clock_runs_from_stop_to_resume() -> None:
    """Seconds are counted from the arrival of STOP to that of RESUME, while they pass."""
    watch = running()
    watch.all(event("STOP", at=1, late=0.25), status("paused", 2))
    assert watch.risen(SECONDS, 3.25) == {("host",): 2}
    watch.feed(event("RESUME", at=4, late=0.25))
    assert watch.risen(SECONDS, 99) == {("host",): 3}


def test_the_clock_pauses_while_disconnected() -> None:
    """A VM found stopped afterwards starts the clock anew, and counts no STOP."""
    watch = running()
    watch.all(event("STOP", at=1), status("paused", 1), lost(3))
    assert watch.risen(SECONDS, 50) == {("host",): 2}
    watch.all(connected(100), status("paused", 101))
    assert watch.risen(SECONDS, 105) == {("host",): 6}
    assert watch.risen(STOPS) == {("host",): 1}


@pytest.mark.parametrize(("state", "cause"), OF_A_RUN_STATE.items())
def test_found_at_connect(state: str, cause: str) -> None:
    """A VM found stopped starts its clock then; one not started, arrived, moved or asleep not."""
    watch = Watch()
    watch.all(connected(), status(state, 1))
    still = {"running", "prelaunch", "inmigrate", "postmigrate", "suspended"}
    expected = {} if state in still else {(cause,): 9}
    assert watch.risen(SECONDS, 10) == expected
    assert watch.risen(STOPS) == {}


@pytest.mark.parametrize("state", ["running", "prelaunch", "inmigrate", "postmigrate", "suspended"])
def test_a_run_state_that_is_no_stop_ends_the_clock(state: str) -> None:
    """Where RESUME was missed or there was none, query-status ends the stop."""
    watch = running()
    watch.all(event("STOP", at=1), status("paused", 1), status(state, 3))
    assert watch.risen(SECONDS, 10) == {("host",): 2}


def test_a_stop_keeps_its_cause_until_it_ends() -> None:
    """A later query-status does not move the seconds to another cause."""
    watch = running()
    watch.all(event("STOP", at=1), status("io-error", 1), status("paused", 3))
    assert watch.risen(SECONDS, 5) == {("io-error",): 4}


def test_no_answer_to_a_probe_changes_nothing() -> None:
    """A query-status that is not answered says nothing where no STOP is held."""
    watch = running()
    watch.all(event("STOP", at=1), status("paused", 1), status(None, 3))
    assert watch.risen(SECONDS, 5) == {("host",): 4}


def test_the_page_tells_how_long_it_is_stopped() -> None:
    """`stopped_for` counts from the STOP, known cause or not, and is none for a VM that runs."""
    watch = running()
    assert watch.vm.stops.stopped_for(5_001.0) is None
    watch.feed(event("STOP", at=1))
    assert watch.vm.stops.stopped_for(5_003.0) == 2
    assert watch.vm.stops.stopped_for(4_000.0) == 0
    watch.feed(status("paused", 3))
    assert watch.vm.stops.stopped_for(5_005.0) == 4


def test_every_cause_is_there_from_the_start() -> None:
    """Both counters have a row of 0 for each cause as soon as the VM is connected."""
    watch = running()
    everything = {(str(cause),): 0.0 for cause in StopCause}
    assert watch.rows(STOPS) == everything
    assert watch.rows(SECONDS) == everything
    assert dict(Stops().seconds(9.0)) == dict.fromkeys(StopCause, 0.0)


def test_what_was_announced_before_the_machine_went_on_is_over() -> None:
    """A stop by somebody, right after one by an error, is not of that error."""
    watch = running()
    watch.all(
        event("BLOCK_IO_ERROR", IO_ERROR, 1),
        event("STOP", at=1),
        status("io-error", 1.001),
        event("RESUME", at=1.1),
        event("STOP", at=1.2),
        event("RESUME", at=1.201),
        status("running", 1.202),
    )
    assert watch.risen(STOPS) == {("io-error",): 1, ("other",): 1}
