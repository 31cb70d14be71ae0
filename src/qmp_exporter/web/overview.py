"""What the page is told about each virtual machine, and what it makes of it."""

from __future__ import annotations

import enum
import math
import re
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from qmp_exporter.catalog.states import FAILED_EXITS


if TYPE_CHECKING:
    from collections.abc import Iterable


class Row(msgspec.Struct, frozen=True):
    """One virtual machine. Every text may have been chosen by somebody hostile."""

    vm: str
    monitor: str
    """Path or address of its QMP socket."""
    state: str
    """Of the connection: connected, connecting, busy, denied, refused, unresponsive, not-qmp or
    gone."""
    status: str
    """Run state as QMP names it; "" when never known."""
    cause: str
    """Why it is stopped, or how QEMU ended; "" when neither."""
    stopped_seconds: float | None
    """How long it is stopped now."""
    events: int
    """Events seen."""
    last_event: str
    """QMP name of the last one; "" for none."""
    last_event_time: float | None
    """Unix seconds."""
    io_errors: int
    panics: int
    watchdogs: int
    sessions: int
    """Display sessions open now."""
    migration: str
    """Status of a migration under way; "" for none."""
    passes: int = 0
    """Pass over the memory that this migration has reached; 0 before the first."""
    disks: tuple[tuple[str, str], ...] = ()
    """Names of the disks that are in error now, and the error."""


class Overview(msgspec.Struct, frozen=True):
    """Everything that one view of the page shows."""

    version: str
    now: float
    """Unix seconds."""
    rows: tuple[Row, ...]
    links: tuple[tuple[str, str], ...]
    """Address and text of each."""
    events: tuple[str, ...] = ()
    """Names of events that one may look for."""


class Level(enum.IntEnum):
    """How much a row asks for attention; the value sorts."""

    BAD = 0
    WARN = 1
    IDLE = 2
    OK = 3


class Group(enum.Enum):
    """Where a row stands on the page; the members are in the order of the counts."""

    UNRESPONSIVE = "Unresponsive"
    STOPPED = "Stopped"
    UNWATCHED = "Not watched"
    GONE = "Gone"
    CONNECTING = "Connecting"
    RUNNING = "Running"


# Run states in which QEMU itself stopped the machine because something failed.
_FAILED = frozenset({"guest-panicked", "internal-error", "io-error", "watchdog"})
# The same as causes of a stop.
_FAILURES = frozenset({"guest-panic", "internal-error", "io-error", "watchdog"})
# Run states that are a step on the way of something that somebody started.
_STEPS = frozenset(
    {
        "colo",
        "finish-migrate",
        "inmigrate",
        "postmigrate",
        "preconfig",
        "prelaunch",
        "restore-vm",
        "save-vm",
        "suspended",
    }
)
_GROUPS = {
    "unresponsive": Group.UNRESPONSIVE,
    "connecting": Group.CONNECTING,
    "gone": Group.GONE,
    "refused": Group.GONE,
}
_LEVELS = {
    Group.UNRESPONSIVE: Level.BAD,
    Group.UNWATCHED: Level.WARN,
    Group.GONE: Level.IDLE,
    Group.CONNECTING: Level.IDLE,
    Group.RUNNING: Level.OK,
}


def matching(rows: Iterable[Row], text: str) -> tuple[Row, ...]:
    """The rows that have each word of ``text`` in what they show of the machine and its state."""
    words = text.casefold().split()
    return tuple(row for row in rows if not words or _has(row, words))


def _has(row: Row, words: list[str]) -> bool:
    group = group_of(row).value
    disks = " ".join(" ".join(disk) for disk in row.disks)
    shown = f"{row.vm} {row.monitor} {row.state} {row.status} {row.cause} {group} {disks}"
    text = f"{shown} {row.migration} {row.last_event}".casefold()
    return all(word in text for word in words)


def group_of(row: Row) -> Group:
    """The group that a row belongs to."""
    if row.state != "connected":
        return _GROUPS.get(row.state, Group.UNWATCHED)
    if not row.status:
        return Group.CONNECTING
    return Group.RUNNING if row.status == "running" else Group.STOPPED


def level_of(row: Row) -> Level:
    """How much a row asks for attention."""
    group = group_of(row)
    if group is Group.GONE and row.cause in FAILED_EXITS:
        return Level.BAD
    if group is not Group.STOPPED:
        return _LEVELS[group]
    if row.status in _FAILED or row.cause in _FAILURES:
        return Level.BAD
    return Level.IDLE if row.status in _STEPS else Level.WARN


def counted(rows: Iterable[Row]) -> dict[Group, Counter[Level]]:
    """How many rows of each group that has any ask how much for attention."""
    groups: dict[Group, Counter[Level]] = {}
    for row in rows:
        groups.setdefault(group_of(row), Counter())[level_of(row)] += 1
    return groups


def grouped(rows: Iterable[Row], most: int | None = None) -> dict[Group, list[Row]]:
    """The rows of each group that has any: the worst first, then the longest stopped, by name.

    The group that has the worst row is the first; of two that have one as bad, ``Group`` tells.

    Args:
        rows: in any order.
        most: how many at all, the worst of them; None for all.
    """
    groups: dict[Group, list[Row]] = {}
    for row in sorted(rows, key=_order)[:most]:
        groups.setdefault(group_of(row), []).append(row)
    return groups


_PLACES = {group: place for place, group in enumerate(Group)}


def _order(row: Row) -> tuple[Level, int, float, str, str]:
    stopped = row.stopped_seconds or 0.0
    longest_first = -stopped if math.isfinite(stopped) else 0.0
    # vm-10 comes after vm-9.
    natural = re.sub(r"[0-9]+", lambda digits: digits[0].zfill(20), row.vm)
    return level_of(row), _PLACES[group_of(row)], longest_first, natural, row.monitor
