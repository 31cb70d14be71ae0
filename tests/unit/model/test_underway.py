"""What is under way in a VM: which spans there are, what is on them and what caused them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from builders import (
    BOOT,
    START,
    connected,
    event,
    link,
    lost,
    ready,
    reply,
    spice,
    status,
    vnc,
    vnc_clients,
)
from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.catalog.operations import MAX_CLIENTS, OPERATIONS
from qmp_exporter.catalog.states import LostCause, TargetState
from qmp_exporter.model.apply import apply
from qmp_exporter.model.inputs import Ask
from qmp_exporter.model.operation import (
    AWAITED,
    MAX_ACTIVITY,
    MAX_AGE,
    MAX_CLOSING,
    MAX_EVENTS,
)
from qmp_exporter.model.replies import MigratedRam, MigrationInfo
from qmp_exporter.model.vm import VM
from tracks import Tracks


if TYPE_CHECKING:
    from qmp_exporter.model.event import Event
    from qmp_exporter.model.inputs import Input


class Story(Tracks):
    """A VM, and the spans of what happened to it."""

    def __init__(self, *given: Input) -> None:
        super().__init__(START)
        self.vm = VM()
        self.feed(*given)

    def feed(self, *given: Input) -> None:
        """Apply inputs, and follow them."""
        for one in given:
            step = apply(self.vm, one)
            self.follow(one, self.vm, step)
            self.vm = step.vm

    def until(self, at: float) -> None:
        """Let nothing happen until second ``at``."""
        self.tick(START + at, BOOT + at)

    def leave(self, at: float) -> None:
        """Look away at second ``at``."""
        self.close(START + at)


def running() -> Story:
    """Return a VM that runs, and was just connected to."""
    dialled = msgspec.structs.replace(connected(), dialled=START - 0.5)
    story = Story(dialled, status("running", 0.1), ready(0.2))
    story._by_id.clear()
    return story


def migration(state: str, at: float) -> Event:
    """Return MIGRATION."""
    return event("MIGRATION", {"status": state}, at)


IO_ERROR = {"device": "ide0-hd0", "operation": "read", "action": "stop"}


def test_a_connection_lasts_from_the_dial_until_the_state_was_read() -> None:
    """Also what is found while it is read is no part of it."""
    story = Story(msgspec.structs.replace(connected(), dialled=START - 0.5))
    story.feed(event("RTC_CHANGE", {"offset": 1}, 0.1), status("running", 0.2), ready(0.3))
    connect = story.one("qmp.connect")
    assert (connect.begin, connect.end, connect.events) == (-0.5, 0.3, [])
    assert connect.told == {}
    assert story.one("qemu.activity").events == ["RTC_CHANGE"]


def test_a_connection_that_is_lost_before_has_failed() -> None:
    """With how it was lost as its error."""
    story = Story(msgspec.structs.replace(connected(), dialled=START), lost(1))
    connect = story.one("qmp.connect")
    assert (connect.end, connect.error) == (1, "eof")


def test_an_io_error_causes_the_stop_that_follows() -> None:
    """The stop is linked to the span of the error, has its cause, and fails; RESUME ends it."""
    story = running()
    story.feed(
        event("BLOCK_IO_ERROR", IO_ERROR, 1),
        event("STOP", None, 1.0001),
        status("io-error", 1.1),
        event("RESUME", None, 2.5),
    )
    stop = story.one("qemu.stop")
    assert (stop.begin, stop.end) == (1.0001, 2.5)
    assert stop.events == ["STOP <- qemu.block_io_error", "RESUME"]
    assert (stop.parent, stop.cause) == ("", "qemu.activity 0")
    assert (stop.told, stop.error) == ({"qemu.stop.cause": "io-error"}, "io-error")
    assert story.one("qemu.activity").events == ["BLOCK_IO_ERROR"]


def test_a_stop_lasts_over_a_reset() -> None:
    """Which leaves the machine as before its start: it does not execute until RESUME."""
    story = running()
    reset = {"guest": False, "reason": "host-qmp-system-reset"}
    story.feed(
        event("GUEST_PANICKED", {"action": "pause"}, 1),
        event("STOP", None, 1.1),
        status("guest-panicked", 1.2),
        event("RESET", reset, 2),
        status("prelaunch", 2.1),
        event("RTC_CHANGE", {"offset": 1}, 3),
        event("RESUME", None, 4),
    )
    stop = story.one("qemu.stop")
    assert (stop.begin, stop.end) == (1.1, 4)
    assert stop.events == ["STOP <- qemu.guest_panicked", "RESET", "RTC_CHANGE", "RESUME"]
    assert stop.told == {"qemu.stop.cause": "guest-panic"}


def test_an_error_that_is_reported_causes_nothing() -> None:
    """A stop within the same second has another reason."""
    story = running()
    reported = IO_ERROR | {"action": "report"}
    story.feed(
        event("BLOCK_IO_ERROR", reported, 1), event("STOP", None, 1.1), status("paused", 1.2)
    )
    assert story.one("qemu.stop").cause == ""
    assert story.one("qemu.stop").error == ""


def test_nothing_is_caused_after_a_second() -> None:
    """By QEMU's stamps, as with the cause that is counted; nor by what comes later."""
    story = running()
    story.feed(event("BLOCK_IO_ERROR", IO_ERROR, 1), event("STOP", None, 2.001))
    assert story.one("qemu.stop").cause == ""


def test_an_event_causes_one_thing() -> None:
    """Of the RESETs that firmware makes of one, the first follows from the watchdog."""
    story = running()
    reset = {"guest": True, "reason": "guest-reset"}
    story.feed(
        event("WATCHDOG", {"action": "reset"}, 1),
        event("RESET", reset, 1.1),
        event("RESET", reset, 1.2),
    )
    assert story.one("qemu.activity").events == ["WATCHDOG", "RESET <- qemu.watchdog", "RESET"]


@pytest.mark.parametrize(
    ("name", "action", "state", "cause"),
    [
        ("WATCHDOG", "pause", "watchdog", "watchdog"),
        ("GUEST_PANICKED", "pause", "guest-panicked", "guest-panic"),
        ("GUEST_PANICKED", "poweroff", "guest-panicked", "guest-panic"),
    ],
)
def test_what_pauses_the_machine_causes_its_stop(
    name: str, action: str, state: str, cause: str
) -> None:
    """As its action says."""
    story = running()
    story.feed(event(name, {"action": action}, 1), event("STOP", None, 1.1), status(state, 1.2))
    stop = story.one("qemu.stop")
    assert (stop.cause, stop.error) == ("qemu.activity 0", cause)
    assert stop.events == [f"STOP <- qemu.{name.lower()}"]


def test_a_panic_that_ends_qemu_causes_the_shutdown_too() -> None:
    """STOP and SHUTDOWN both follow from it; QEMU's end ends the stop and says why."""
    story = running()
    story.feed(
        event("GUEST_PANICKED", {"action": "poweroff"}, 1),
        event("STOP", None, 1.1),
        event("SHUTDOWN", {"guest": True, "reason": "guest-panic"}, 1.2),
        lost(1.3),
        link(TargetState.GONE, 1.4),
    )
    stop = story.one("qemu.stop")
    panic = "qemu.guest_panicked"
    assert stop.events == [f"STOP <- {panic}", f"SHUTDOWN <- {panic}"]
    assert stop.end == 1.3
    assert stop.told == {"qemu.stop.cause": "guest-panic", "qemu.exit.cause": "panic"}
    assert stop.error == "guest-panic"
    assert all(span.end is not None for span in story.spans)


def test_a_watchdog_that_shuts_down_causes_the_shutdown_of_the_guest() -> None:
    """WATCHDOG, POWERDOWN, SHUTDOWN, and with -no-shutdown STOP: each follows from the last."""
    story = running()
    story.feed(
        event("WATCHDOG", {"action": "shutdown"}, 1),
        event("POWERDOWN", None, 1.1),
        event("SHUTDOWN", {"guest": True, "reason": "guest-shutdown"}, 5),
        event("STOP", None, 5.1),
        status("shutdown", 5.2),
    )
    shutdown, stop = story.one("qemu.guest.shutdown"), story.one("qemu.stop")
    assert (shutdown.begin, shutdown.end, shutdown.cause) == (1.1, 5, "qemu.activity 0")
    assert shutdown.events == ["POWERDOWN <- qemu.watchdog", "SHUTDOWN"]
    assert (stop.cause, stop.told) == (
        "qemu.guest.shutdown 0",
        {"qemu.stop.cause": "guest-shutdown"},
    )
    assert stop.error == ""


def test_a_guest_that_does_not_power_down_has_failed_to() -> None:
    """After five minutes; it is asked again in another span then."""
    story = running()
    story.feed(event("POWERDOWN", None, 1), event("POWERDOWN", None, 100))
    story.until(300.9)
    assert story.one("qemu.guest.shutdown").end is None
    story.until(301)
    shutdown = story.one("qemu.guest.shutdown")
    assert (shutdown.end, shutdown.error) == (301, "timeout")
    assert shutdown.events == ["POWERDOWN", "POWERDOWN"]
    story.feed(event("RTC_CHANGE", {"offset": 1}, 302))
    assert len(story.all("qemu.guest.shutdown")) == 1
    story.feed(event("POWERDOWN", None, 400), event("SHUTDOWN", None, 405))
    _, again = story.all("qemu.guest.shutdown")
    assert (again.begin, again.end, again.error) == (400, 405, "")
    assert again.events == ["POWERDOWN", "SHUTDOWN"]


def test_a_migration_waits_for_an_outcome_that_qemu_has_not_reckoned() -> None:
    """A reply that comes too early tells nothing and ends nothing; the next one does."""
    story = running()
    story.feed(migration("setup", 1), migration("completed", 2), status("postmigrate", 2.1))
    memory = MigratedRam(4096)
    story.feed(reply(Ask.MIGRATE, MigrationInfo("completed", 0, memory, total_time=0), 2.2))
    moved = story.one("qemu.migration")
    assert moved.end is None
    story.feed(reply(Ask.MIGRATE, MigrationInfo("completed", 250, memory, total_time=999), 2.3))
    assert moved.end == 2
    assert moved.told["qemu.migration.downtime"] == 0.25
    assert moved.told["qemu.migration.transferred"] == 4096


def test_a_migration_holds_its_events_and_its_stop() -> None:
    """The stop is a part of it; downtime and bytes come by the reply that it waits for."""
    story = running()
    story.feed(
        migration("setup", 1),
        event("MIGRATION_PASS", {"pass": 1}, 1.1),
        migration("active", 1.2),
        event("STOP", None, 1.3),
        event("RTC_CHANGE", {"offset": 1}, 1.35),
        event("MIGRATION_PASS", {"pass": 2}, 1.4),
        migration("completed", 1.5),
    )
    moved, stop = story.one("qemu.migration"), story.one("qemu.stop")
    assert (moved.end, stop.end) == (None, None)
    story.feed(
        status("postmigrate", 1.6),
        status("postmigrate", 1.7),
        reply(Ask.MIGRATE, MigrationInfo("completed", 250, MigratedRam(4096)), 1.8),
    )
    assert (moved.begin, moved.end, moved.parent) == (1, 1.5, "")
    assert moved.events == [
        "MIGRATION",
        "MIGRATION_PASS",
        "MIGRATION",
        "MIGRATION_PASS",
        "MIGRATION",
    ]
    assert moved.told == {
        "qemu.migration.role": "source",
        "qemu.migration.outcome": "completed",
        "qemu.migration.downtime": 0.25,
        "qemu.migration.transferred": 4096,
    }
    assert (stop.begin, stop.end, stop.parent, stop.cause) == (1.3, 1.5, "qemu.migration 0", "")
    assert stop.events == ["STOP", "RTC_CHANGE"]
    assert stop.told == {"qemu.stop.cause": "migration"}
    assert moved.error == stop.error == ""


@pytest.mark.parametrize(("outcome", "error"), [("failed", "migration-failed"), ("cancelled", "")])
def test_a_migration_that_fails_is_an_error_and_one_that_is_cancelled_none(
    outcome: str, error: str
) -> None:
    """What QEMU says after the outcome belongs to it no more."""
    story = running()
    story.feed(migration("setup", 1), migration("active", 2), migration(outcome, 3))
    story.feed(
        reply(Ask.MIGRATE, MigrationInfo(outcome), 3.1), event("SPICE_MIGRATE_COMPLETED", None, 4)
    )
    moved = story.one("qemu.migration")
    assert (moved.end, moved.error, moved.told["qemu.migration.outcome"]) == (3, error, outcome)
    assert story.one("qemu.activity").events == ["SPICE_MIGRATE_COMPLETED"]


def test_an_outcome_is_told_once() -> None:
    """What QEMU says of one whose begin was not seen is not told of the one before it."""
    story = running()
    story.feed(migration("setup", 1), migration("failed", 2), migration("completed", 3))
    story.until(20)
    moved = story.all("qemu.migration")[0]
    assert moved.told["qemu.migration.outcome"] == "failed"
    assert moved.error == "migration-failed"


def test_a_stop_that_an_error_made_while_it_migrates_is_no_part_of_that() -> None:
    """It has a trace of its own, linked to the migration, where the error is noted."""
    story = running()
    story.feed(
        migration("setup", 1),
        migration("active", 2),
        event("BLOCK_IO_ERROR", IO_ERROR, 3),
        event("STOP", None, 3.1),
        status("io-error", 3.2),
    )
    stop = story.one("qemu.stop")
    assert (stop.parent, stop.cause) == ("", "qemu.migration 0")
    assert story.one("qemu.migration").events[-1] == "BLOCK_IO_ERROR"


def test_the_destination_has_a_migration_of_its_own() -> None:
    """RESUME happens while it lasts, and is no end of a stop there."""
    story = Story(connected(), status("inmigrate", 0.1), ready(0.2))
    story.feed(
        migration("setup", 1),
        migration("active", 2),
        event("RESUME", None, 3),
        migration("completed", 4),
    )
    moved = story.one("qemu.migration")
    assert moved.told["qemu.migration.role"] == "destination"
    assert moved.events == ["MIGRATION", "MIGRATION", "RESUME", "MIGRATION"]
    assert moved.end == 4
    assert story.all("qemu.stop") == []


def test_a_reply_that_does_not_come_holds_up_the_end_for_a_while_only() -> None:
    """The end is the end of the operation, however long that was waited for."""
    story = running()
    story.feed(migration("setup", 1), migration("completed", 2))
    story.until(2 + AWAITED - 0.1)
    assert story.one("qemu.migration").end is None
    story.until(2 + AWAITED)
    assert story.one("qemu.migration").end == 2


def test_only_so_many_wait_for_a_reply() -> None:
    """A machine that stops and goes on all the time, and does not answer, is not remembered."""
    story = running()
    for n in range(50):
        story.feed(event("STOP", None, 1 + n / 10), event("RESUME", None, 1.05 + n / 10))
        assert len(story.known.closing) <= MAX_CLOSING
    ended = [span.end for span in story.all("qemu.stop")]
    assert (
        ended == [round(1.05 + n / 10, 6) for n in range(50 - MAX_CLOSING)] + [None] * MAX_CLOSING
    )


def test_a_dump_begins_with_the_stop_that_it_makes() -> None:
    """And is a part of it, also where QEMU answers only when all is over."""
    story = running()
    done = {"result": {"status": "completed", "completed": 7, "total": 9}}
    story.feed(event("STOP", None, 1), event("DUMP_COMPLETED", done, 3), event("RESUME", None, 3.1))
    dump, stop = story.one("qemu.dump"), story.one("qemu.stop")
    assert (dump.begin, dump.end, dump.parent) == (1, 3, "qemu.stop 0")
    assert dump.events == ["DUMP_COMPLETED"]
    assert dump.told == {
        "qemu.dump.status": "completed",
        "qemu.dump.written": 7,
        "qemu.dump.size": 9,
    }
    assert stop.told == {"qemu.stop.cause": "snapshot"}
    assert stop.events == ["STOP", "RESUME"]


def test_a_dump_of_much_memory_begins_with_its_stop_all_the_same() -> None:
    """Whose first span is over by then: a dump has no segments, as it is seen at its end only."""
    story = running()
    done = {"result": {"status": "completed", "completed": 7, "total": 9}}
    story.feed(event("STOP", None, 1))
    story.until(1 + MAX_AGE)
    story.until(1 + 2 * MAX_AGE)
    story.feed(event("DUMP_COMPLETED", done, 1300), event("RESUME", None, 1300.1))
    dump = story.one("qemu.dump")
    assert (dump.begin, dump.end, dump.parent) == (1, 1300, "qemu.stop 0")


def test_a_dump_of_a_stopped_machine_is_seen_at_its_end_only() -> None:
    """It says so; one that failed is an error."""
    story = running()
    failed = {"result": {"status": "failed", "completed": 0, "total": 9}, "error": "full"}
    story.feed(event("STOP", None, 1), status("paused", 1.1), event("DUMP_COMPLETED", failed, 3))
    dump = story.one("qemu.dump")
    assert (dump.begin, dump.end, dump.parent, dump.error) == (3, 3, "", "dump-failed")
    assert dump.told["qmp_exporter.resumed"] is True


def test_a_display_session_lasts_from_connected_to_disconnected() -> None:
    """Two clients are told apart, and one that did not log in has failed to."""
    story = running()
    story.feed(
        vnc("CONNECTED", "1", 1),
        vnc("CONNECTED", "2", 2),
        vnc("INITIALIZED", "1", 3, auth="vnc"),
        vnc("DISCONNECTED", "2", 4),
        vnc("DISCONNECTED", "1", 5),
    )
    first, second = story.all("qemu.display.session")
    assert (first.begin, first.end, first.error) == (1, 5, "")
    assert first.events == ["VNC_CONNECTED", "VNC_INITIALIZED", "VNC_DISCONNECTED"]
    assert first.told == {"qemu.display.protocol": "vnc", "qemu.display.auth": "vnc"}
    assert (second.begin, second.end, second.error) == (2, 4, "incomplete")
    assert second.events == ["VNC_CONNECTED", "VNC_DISCONNECTED"]


def test_clients_of_a_unix_socket_look_the_same() -> None:
    """The one that is not logged in is taken to log in next, and to be the one that closes."""
    story = running()
    story.feed(
        vnc("CONNECTED", at=1),
        vnc("INITIALIZED", at=2),
        vnc("CONNECTED", at=3),
        vnc("DISCONNECTED", at=4),
        vnc("DISCONNECTED", at=5),
    )
    first, second = story.all("qemu.display.session")
    assert (first.begin, first.end, first.error) == (1, 5, "")
    assert (second.begin, second.end, second.error) == (3, 4, "incomplete")


def test_each_channel_of_spice_is_a_span() -> None:
    """A session is its main channel, of which alone the login is told."""
    story = running()
    story.feed(
        spice("CONNECTED", "1", 1),
        spice("INITIALIZED", "1", 2, channel=1),
        spice("CONNECTED", "2", 3),
        spice("INITIALIZED", "2", 4, channel=2),
        spice("DISCONNECTED", "1", 5),
    )
    main, other = story.all("qemu.display.session")
    assert main.told == {"qemu.display.protocol": "spice", "qemu.display.auth": "spice"}
    assert other.told == {"qemu.display.protocol": "spice"}
    assert (main.end, other.end) == (5, None)


def test_more_clients_than_are_told_apart_are_counted() -> None:
    """Their events are on the activity; nothing is lost, and what is kept is bounded."""
    story = running()
    number = MAX_CLIENTS + 5
    story.feed(*(vnc("CONNECTED", str(n), n / 1000) for n in range(number)))
    assert len(story.all("qemu.display.session")) == MAX_CLIENTS
    assert story.crowded == ["qemu.display.session"] * 5
    noted = sum(len(span.events) for span in story.spans)
    assert noted == number


def test_a_job_lasts_until_qemu_forgets_it() -> None:
    """Two are told apart by their ids; what failed says so, and each has its type."""
    story = running()

    def job(name: str, state: str, at: float) -> Event:
        return event("JOB_STATUS_CHANGE", {"id": name, "status": state}, at)

    def ended(name: str, at: float, **more: str) -> Event:
        data = {"type": "mirror", "device": name, "len": 1, "offset": 1, "speed": 0} | more
        return event("BLOCK_JOB_COMPLETED", data, at)

    story.feed(job("a", "created", 1), job("a", "running", 1.1), job("b", "created", 2))
    story.feed(ended("a", 3, error="full"), ended("b", 4), job("a", "null", 5), job("b", "null", 6))
    first, second = story.all("qemu.job")
    assert (first.begin, first.end, first.error) == (1, 5, "block-job-failed")
    assert first.told == {"qemu.job.outcome": "failed", "qemu.job.type": "mirror"}
    assert (second.begin, second.end, second.error) == (2, 6, "")
    assert second.events == ["JOB_STATUS_CHANGE", "BLOCK_JOB_COMPLETED", "JOB_STATUS_CHANGE"]
    assert story.all("qemu.activity") == []


def test_a_stop_that_was_not_seen_is_found() -> None:
    """When the exporter starts in the middle of it: it has its cause, and is marked."""
    story = Story(connected(), status("io-error", 0.1), ready(0.2), event("RESUME", None, 9))
    stop = story.one("qemu.stop")
    assert (stop.begin, stop.end, stop.error) == (0.1, 9, "io-error")
    assert stop.told == {"qmp_exporter.resumed": True, "qemu.stop.cause": "io-error"}
    assert stop.events == ["RESUME"]


def test_a_migration_that_was_not_seen_to_begin_is_found() -> None:
    """By query-migrate, or by an event that is not its first."""
    story = Story(connected(), status("running", 0.1))
    story.feed(reply(Ask.MIGRATE, MigrationInfo("active"), 0.2), ready(0.3))
    story.feed(migration("completed", 5), reply(Ask.MIGRATE, None, 5.1))
    moved = story.one("qemu.migration")
    assert (moved.begin, moved.end) == (0.2, 5)
    assert moved.told["qmp_exporter.resumed"] is True
    later = running()
    later.feed(migration("active", 1))
    assert later.one("qemu.migration").told == {
        "qmp_exporter.resumed": True,
        "qemu.migration.role": "source",
    }


def test_clients_that_were_not_seen_to_connect_are_found() -> None:
    """With their protocol, which is all that is known of them."""
    story = Story(connected(), status("running"), vnc_clients("1", at=0.1), ready(0.2))
    session = story.one("qemu.display.session")
    assert session.told == {"qmp_exporter.resumed": True, "qemu.display.protocol": "vnc"}


def test_what_is_out_of_sight_goes_on() -> None:
    """A lost connection ends nothing; what is still there after it goes on in the same span."""
    story = running()
    story.feed(event("STOP", None, 1), status("paused", 1.1), vnc("CONNECTED", "1", 2), lost(3))
    assert story.one("qemu.stop").end is None
    story.feed(connected(4), status("paused", 4.1), vnc_clients("1", at=4.2), ready(4.3))
    story.feed(event("RESUME", None, 6))
    stop = story.one("qemu.stop")
    assert (stop.end, stop.told) == (6, {"qemu.stop.cause": "host"})
    assert story.one("qemu.display.session").end is None


def test_an_end_that_is_seen_before_the_state_is_read_is_one() -> None:
    """As soon as the connection is back; what else happens meanwhile ends nothing."""
    story = running()
    story.feed(event("STOP", None, 1), status("paused", 1.1), lost(3), connected(4))
    story.feed(event("RTC_CHANGE", {"offset": 1}, 4.05))
    assert story.one("qemu.stop").end is None
    story.feed(event("RESUME", None, 4.1), status("running", 4.2), ready(4.3))
    stop = story.one("qemu.stop")
    assert (stop.end, stop.told) == (4.1, {"qemu.stop.cause": "host"})
    assert stop.events == ["STOP", "RTC_CHANGE", "RESUME"]


def test_what_is_gone_after_a_lost_connection_ends_incomplete() -> None:
    """When all was read and it is not there; its end was not seen."""
    story = running()
    story.feed(
        event("STOP", None, 1),
        status("paused", 1.1),
        vnc("CONNECTED", "1", 2),
        migration("setup", 2.5),
        lost(3),
        connected(4),
        status("running", 4.1),
        vnc_clients(at=4.2),
        ready(4.3),
    )
    for name, end in (("qemu.stop", 4.3), ("qemu.display.session", 4.2)):
        span = story.one(name)
        assert (span.end, span.told["qmp_exporter.incomplete"]) == (end, True)
    assert story.one("qemu.migration").end is None


def test_the_end_of_qemu_ends_everything() -> None:
    """A crash is a failure of whatever was under way, but not of events that came before."""
    story = running()
    story.feed(
        event("RTC_CHANGE", {"offset": 1}, 0.5),
        vnc("CONNECTED", "1", 1),
        migration("setup", 2),
        lost(3),
        link(TargetState.REFUSED, 3.1),
    )
    assert {span.end for span in story.spans} == {3}
    assert {span.told["qemu.exit.cause"] for span in story.spans} == {"crash"}
    assert story.one("qemu.display.session").error == "crash"
    assert story.one("qemu.migration").error == "migration-failed"
    assert story.one("qemu.activity").error == ""
    assert story.known.spans == {}
    assert story.known.closing == ()


def test_the_end_of_qemu_is_when_it_hung_up() -> None:
    """Unless that was long before: then it may have lived on, and its end is when it was found."""
    story = running()
    story.feed(event("STOP", None, 1), lost(3), link(TargetState.GONE, 5))
    assert story.one("qemu.stop").end == 5
    again = running()
    again.feed(event("STOP", None, 1), lost(3), connected(4), status("paused", 4.05))
    again.feed(ready(4.1), lost(6))
    again.feed(link(TargetState.GONE, 6.5))
    assert again.one("qemu.stop").end == 6


def test_who_looks_away_leaves_everything_incomplete() -> None:
    """What waits for a reply had its end seen, and so had the activity."""
    story = running()
    story.feed(event("RTC_CHANGE", {"offset": 1}, 0.5))
    story.feed(vnc("CONNECTED", "1", 1), migration("setup", 2), migration("failed", 3))
    story.leave(9)
    session = story.one("qemu.display.session")
    assert (session.end, session.told["qmp_exporter.incomplete"]) == (9, True)
    assert "qmp_exporter.incomplete" not in story.one("qemu.migration").told
    assert (story.one("qemu.migration").end, story.one("qemu.activity").end) == (3, 0.5)
    assert story.known.spans == {}


def test_events_of_nothing_are_on_the_activity() -> None:
    """For 30 s, or 100 of them; each span is linked to the one before it."""
    story = running()
    rtc = [event("RTC_CHANGE", {"offset": n}, n / 1000) for n in range(MAX_EVENTS + 1)]
    story.feed(*rtc)
    first, second = story.all("qemu.activity")
    assert (len(first.events), first.begin, first.end) == (100, 0, 0.099)
    assert (len(second.events), second.begin, second.previous) == (1, 0.1, "qemu.activity 0")
    story.until(0.1 + MAX_ACTIVITY - 0.01)
    assert second.end is None
    story.until(0.1 + MAX_ACTIVITY)
    assert second.end == 0.1
    story.feed(event("RTC_CHANGE", {"offset": 1}, 99))
    assert story.all("qemu.activity")[2].previous == "qemu.activity 1"


def test_a_long_operation_goes_on_in_segments() -> None:
    """Of the same trace, each linked to the one before, each with all that is known so far."""
    story = running()
    story.feed(migration("setup", 1), migration("active", 2))
    story.until(1 + MAX_AGE - 0.1)
    assert len(story.spans) == 1
    story.until(1 + MAX_AGE)
    story.until(1 + 2 * MAX_AGE)
    story.feed(event("STOP", None, 1300), migration("failed", 1400), reply(Ask.MIGRATE, None, 1401))
    one, two, three = story.all("qemu.migration")
    assert [(s.begin, s.end) for s in (one, two, three)] == [(1, 601), (601, 1201), (1201, 1400)]
    assert [s.told["qemu.operation.segment"] for s in (one, two, three)] == [1, 2, 3]
    assert [s.told["qemu.migration.role"] for s in (one, two, three)] == ["source"] * 3
    assert (two.parent, two.previous) == ("qemu.migration 0", "qemu.migration 0")
    assert (three.parent, three.previous) == ("qemu.migration 0", "qemu.migration 1")
    assert (one.error, two.error, three.error) == ("", "", "migration-failed")
    assert story.one("qemu.stop").parent == "qemu.migration 2"


def test_an_operation_with_many_events_goes_on_in_segments() -> None:
    """A migration that does not converge loses none of its passes."""
    story = running()
    story.feed(migration("setup", 1))
    story.feed(*(event("MIGRATION_PASS", {"pass": n}, 2 + n) for n in range(250)))
    assert [len(span.events) for span in story.all("qemu.migration")] == [100, 100, 51]


def test_a_late_event_does_not_turn_time_back() -> None:
    """QEMU's rate limit delays some past their successors: no span ends before it begins."""
    story = running()
    story.feed(
        event("RTC_CHANGE", {"offset": 1}, 5), event("RTC_CHANGE", {"offset": 1}, 4.5, late=1)
    )
    story.leave(9)
    assert (story.one("qemu.activity").begin, story.one("qemu.activity").end) == (5, 5)


@pytest.mark.parametrize("spec", EVENTS, ids=lambda spec: spec.name)
def test_every_sample_of_the_catalog_is_on_one_span(spec: Any) -> None:
    """Whatever event comes first, in a VM that runs."""
    for data in spec.samples:
        story = running()
        story.feed(event(spec.name, data, 1))
        assert sum(len(span.events) for span in story.spans) == 1


def test_what_causes_what_is_there() -> None:
    """The catalog names events and members that exist."""
    names = {spec.name for spec in EVENTS}
    for spec in EVENTS:
        for causes in spec.causes:
            assert causes.event in names
            assert not causes.member or causes.member in spec.payload.__struct_fields__
        assert not spec.key or hasattr(spec.payload, spec.key)
        assert spec.tells is None or spec.tells.operation is spec.operation
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)


def test_how_a_session_was_lost_is_no_part_of_an_operation() -> None:
    """Once the state was read, a loss of the connection fails nothing."""
    story = running()
    story.feed(event("STOP", None, 1), link(TargetState.CONNECTING, 2, LostCause.PROTOCOL))
    assert story.one("qemu.stop").error == ""
