"""Which machine is in trouble, and who comes first."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmp_exporter.web.overview import (
    Group,
    Level,
    Row,
    counted,
    group_of,
    grouped,
    level_of,
    matching,
)
from unit.web.samples import CALM, ROWS


def row(**changes: object) -> Row:
    """A running machine with these changes."""
    return msgspec.structs.replace(CALM, **changes)


@pytest.mark.parametrize(
    ("state", "status", "cause", "group", "level"),
    [
        ("connected", "running", "", Group.RUNNING, Level.OK),
        ("connected", "", "", Group.CONNECTING, Level.IDLE),
        ("connecting", "", "", Group.CONNECTING, Level.IDLE),
        ("connecting", "running", "", Group.CONNECTING, Level.IDLE),
        ("connected", "io-error", "io-error", Group.STOPPED, Level.BAD),
        ("connected", "guest-panicked", "", Group.STOPPED, Level.BAD),
        ("connected", "internal-error", "other", Group.STOPPED, Level.BAD),
        ("connected", "watchdog", "watchdog", Group.STOPPED, Level.BAD),
        ("connected", "paused", "guest-panic", Group.STOPPED, Level.BAD),
        ("connected", "paused", "host", Group.STOPPED, Level.WARN),
        ("connected", "shutdown", "guest-shutdown", Group.STOPPED, Level.WARN),
        ("connected", "a-status-of-qemu-20", "", Group.STOPPED, Level.WARN),
        ("connected", "inmigrate", "", Group.STOPPED, Level.IDLE),
        ("connected", "postmigrate", "migration", Group.STOPPED, Level.IDLE),
        ("connected", "suspended", "", Group.STOPPED, Level.IDLE),
        ("unresponsive", "running", "", Group.UNRESPONSIVE, Level.BAD),
        ("busy", "", "", Group.UNWATCHED, Level.WARN),
        ("denied", "", "", Group.UNWATCHED, Level.WARN),
        ("not-qmp", "", "", Group.UNWATCHED, Level.WARN),
        ("a-new-state", "running", "", Group.UNWATCHED, Level.WARN),
        ("gone", "shutdown", "", Group.GONE, Level.IDLE),
        ("refused", "", "host-quit", Group.GONE, Level.IDLE),
        ("gone", "", "crash", Group.GONE, Level.BAD),
        ("refused", "", "panic", Group.GONE, Level.BAD),
        ("refused", "", "watchdog", Group.GONE, Level.BAD),
    ],
)
def test_each_state_has_its_place(
    state: str, status: str, cause: str, group: Group, level: Level
) -> None:
    """The state of the connection comes first; the run state counts while we are connected."""
    subject = row(state=state, status=status, cause=cause)
    assert group_of(subject) is group
    assert level_of(subject) is level


def test_broken_machines_come_first() -> None:
    """The groups run from broken to fine; in each the worst, then the longest stopped, is first."""
    rows = [
        row(vm="fine"),
        row(vm="paused-1", status="paused", cause="host", stopped_seconds=5),
        row(vm="gone", state="gone"),
        row(vm="paused-2", status="paused", cause="host", stopped_seconds=9),
        row(vm="broken", status="io-error", cause="io-error", stopped_seconds=1),
        row(vm="hung", state="unresponsive"),
        row(vm="busy", state="busy"),
    ]
    order = [subject.vm for members in grouped(rows).values() for subject in members]
    assert order == ["hung", "broken", "paused-2", "paused-1", "busy", "gone", "fine"]


def test_a_group_with_a_failure_comes_before_one_without() -> None:
    """A crash is not below all that somebody paused, nor a lost monitor below all that sleep."""
    rows = [
        row(vm="asleep", status="suspended"),
        row(vm="left", state="gone", cause="host-quit"),
        row(vm="busy", state="busy"),
        row(vm="crashed", state="gone", cause="crash"),
        row(vm="fine"),
    ]
    order = [subject.vm for members in grouped(rows).values() for subject in members]
    assert order == ["crashed", "left", "busy", "asleep", "fine"]


def test_rows_are_counted_by_group_and_level() -> None:
    """Of a group that has none, nothing."""
    rows = [row(), row(), row(state="gone"), row(state="gone", cause="crash")]
    assert counted(rows) == {
        Group.RUNNING: {Level.OK: 2},
        Group.GONE: {Level.IDLE: 1, Level.BAD: 1},
    }
    assert counted([]) == {}


def test_numbers_in_names_sort_as_numbers() -> None:
    """vm-9 stands before vm-10."""
    names = ["vm-10", "vm-9", "vm-100", "a"]
    (members,) = grouped(row(vm=name) for name in names).values()
    assert [member.vm for member in members] == ["a", "vm-9", "vm-10", "vm-100"]


@given(st.lists(ROWS, max_size=8))
def test_no_row_is_lost_or_shown_twice(rows: list[Row]) -> None:
    """Whatever the rows hold, each is in exactly one group, and no group is empty."""
    groups = grouped(rows)
    assert all(groups.values())
    shown = [id(subject) for members in groups.values() for subject in members]
    assert sorted(shown) == sorted(map(id, rows))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["web-1", "db-1"]),
        ("  ", ["web-1", "db-1"]),
        ("WEB", ["web-1"]),
        ("run qemu db", ["db-1"]),
        ("io-error", ["db-1"]),
        ("stopped", ["db-1"]),
        ("nospace", ["db-1"]),
        ("disk7 stopped", ["db-1"]),
        ("active", ["web-1"]),
        ("rtc_change", ["web-1", "db-1"]),
        ("web stopped", []),
        ("<script>", []),
    ],
)
def test_search_takes_words_of_all_that_is_shown(text: str, found: list[str]) -> None:
    """In any order and case; all of them must be there."""
    rows = (
        row(vm="web-1", migration="active"),
        row(
            vm="db-1",
            monitor="/run/qemu/db-1.qmp",
            status="io-error",
            cause="io-error",
            disks=(("disk7", "nospace"),),
        ),
    )
    assert [one.vm for one in matching(rows, text)] == found


def test_of_very_many_the_worst_are_kept() -> None:
    """Of whatever group; one of which nothing is left is not there."""
    rows = [row(vm=str(at), status="paused", cause="host") for at in range(9)]
    crashed = row(vm="crashed", state="gone", cause="crash")
    (members,) = grouped([*rows, crashed], 1).values()
    assert members == [crashed]
    rows = [row(vm=str(at)) for at in range(9)]
    rows += [row(vm=f"x{at}", status="io-error") for at in range(3)]
    shown = {group: len(members) for group, members in grouped(rows, 5).items()}
    assert shown == {Group.STOPPED: 3, Group.RUNNING: 2}
    assert {group: len(members) for group, members in grouped(rows, 3).items()} == {
        Group.STOPPED: 3
    }
