"""What happened to VMs: the captured scenarios, and what their events do not tell of them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from qmp_exporter.catalog.states import TargetState
from qmp_exporter.demo.captures import SHIPPED, RecordedEvent, Recording, Scenario


if TYPE_CHECKING:
    from collections.abc import Mapping


BOOT: Final = 1_700_000_000
"""Unix seconds at which every story begins, with its VMs being connected."""

FIRST: Final = 1.0
"""Seconds into the story at which the first event comes."""

STATUS_AT_START: Final = {
    "lifecycle-qmp": "prelaunch",
    "dump-ok": "prelaunch",
    "dump-failed": "prelaunch",
}
"""QEMUs that were started with -S; a destination begins in ``inmigrate``."""

UNTOLD: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "migration-no-events-capability": ("MIGRATION", {"status": "active"}),
}
"""What happens to a machine after it is connected, and QEMU sends no event of."""

SILENT: Final = frozenset({"panic-shutdown", "panic-exit-failure"})
"""QEMUs that end before they answer a question that their last events raise."""

KILLED: Final = {
    "migration-destination-killed": FIRST + 0.5,
    "migration-postcopy-paused": FIRST + 0.6,
}
"""Seconds into the story at which the destination was killed, by what its source then says."""

_NO_DISK: Final[Mapping[str, object]] = {"query-block": []}
_QUORUM_DRIVE: Final = {
    "device": "usr1",
    "locked": False,
    "removable": True,
    "inserted": {"node-name": "#block147", "drv": "quorum"},
    "type": "unknown",
}
REPLIES: Final[Mapping[str, Mapping[str, object]]] = {
    "balloon": {"query-balloon": {"actual": 512 * 2**20}},
    "guest-linux-tour": {"query-balloon": {"actual": 256 * 2**20}},
    # A node without a device or a drive is in no reply; a drive is, with its driver.
    "quorum-mismatch": _NO_DISK,
    "quorum-failure": _NO_DISK,
    "quorum-report-bad-read": _NO_DISK,
    "quorum-report-bad-write": _NO_DISK,
    "quorum-report-bad-flush": _NO_DISK,
    "quorum-failure-error": {"query-block": [_QUORUM_DRIVE]},
}
"""What QEMU answers at connect, where no event tells of it beforehand."""


@dataclass(frozen=True)
class Line:
    """A line of a monitor.

    Attributes:
        at: seconds into the story at which it comes.
        text: the line, without its end.
    """

    at: float
    text: bytes


@dataclass(frozen=True)
class Actor:
    """A VM of a story.

    Attributes:
        role: which of two it is; empty for one alone.
        lines: what its monitor says.
        events: what of that is an event.
        version: of QEMU.
        status: its run state when it is connected.
        killed: seconds into the story at which it was; none: it was not.
        replies: answers that the events do not tell.
        untold: an event that happens right after connect and is not sent.
        silent: whether its events are the last that it says, whatever it is asked.
    """

    role: str
    lines: tuple[Line, ...]
    events: tuple[RecordedEvent, ...]
    version: tuple[int, int, int] = SHIPPED["7.2"]
    status: str = "running"
    killed: float | None = None
    replies: Mapping[str, object] = field(default_factory=dict)
    untold: tuple[str, dict[str, Any]] | None = None
    silent: bool = False

    @property
    def gone(self) -> TargetState:
        """What its monitor is found to be at the end: only a shutdown removes its socket."""
        names = {event.name for event in self.events}
        return TargetState.GONE if "SHUTDOWN" in names else TargetState.REFUSED

    @property
    def exits(self) -> bool:
        """Whether QEMU ends after its last line, as its events say."""
        return any(
            event.name == "SHUTDOWN"
            or (event.name == "WATCHDOG" and event.data.get("action") == "poweroff")
            for event in self.events
        )


@dataclass(frozen=True)
class Story:
    """What happened to one VM or two, and how that was brought about."""

    title: str
    recipe: str
    actors: tuple[Actor, ...]


def captured(version: str) -> dict[str, Story]:
    """Return the stories of a capture, by scenario."""
    recording = Recording.shipped(version)
    by_name: dict[str, list[Scenario]] = {}
    for scenario in recording.scenarios:
        by_name.setdefault(scenario.name, []).append(scenario)
    qemu = ".".join(map(str, recording.version))
    stories = {}
    for name, roles in by_name.items():
        zero = min(one.events[0].microseconds or 0 for one in roles)
        roles.sort(key=lambda one: one.role, reverse=True)  # the source was there first
        actors = tuple(_actor(one, recording.version, zero) for one in roles)
        stories[name] = Story(f"{name} on QEMU {qemu}", roles[0].recipe, actors)
    return stories


def told(title: str, recipe: str, *texts: bytes, status: str = "running") -> Story:
    """Return the story of a VM that says these lines, a second apart."""
    events: list[RecordedEvent] = []
    for text in texts:
        with contextlib.suppress(msgspec.MsgspecError):
            events.append(RecordedEvent.parse(text))
    lines = tuple(Line(FIRST + at, text) for at, text in enumerate(texts))
    return Story(title, recipe, (Actor("", lines, tuple(events), status=status),))


def _actor(scenario: Scenario, version: tuple[int, int, int], zero: int) -> Actor:
    lines = []
    now = FIRST
    for event in scenario.events:
        assert event.microseconds is not None
        after = event.microseconds - zero
        # One that QEMU held back comes after younger ones, and keeps its stamp.
        now = max(now, FIRST + after / 1e6)
        lines.append(Line(now, event.stamped(round((BOOT + FIRST) * 1e6) + after)))
    arrives = scenario.role == "dst"
    return Actor(
        scenario.role,
        tuple(lines),
        scenario.events,
        version,
        "inmigrate" if arrives else STATUS_AT_START.get(scenario.name, "running"),
        KILLED.get(scenario.name) if arrives else None,
        REPLIES.get(scenario.name, {}),
        UNTOLD.get(scenario.name),
        scenario.name in SILENT,
    )
