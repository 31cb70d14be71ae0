"""Plays captured events, each scenario as the life of a machine: no QEMU is needed to see one.

At the end of a scenario the connection is closed and the socket removed, as when QEMU exits, and
the next machine listens on the same path.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from qmp_exporter.recording.event import SECOND
from qmp_exporter.recording.monitor import QUIET, Cue, Monitor
from qmp_exporter.recording.state import MachineState


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from qmp_exporter.demo.captures import RecordedEvent, Recording


BETWEEN: Final = 1.0
"""Seconds without a socket, for the client to see that QEMU has gone."""


async def replay(  # noqa: PLR0913 - all that is not a place has its name at the call
    recording: Recording,
    socket_path: Path,
    *,
    name: str,
    loop: bool,
    max_gap: float,
    say: Callable[[str], None],
) -> None:
    """Play a recording on a unix socket, once or until cancelled.

    Args:
        recording: what to play.
        socket_path: where to listen; nothing may be there. It is removed at the end.
        name: what ``query-name`` says.
        loop: begin again after the last scenario.
        max_gap: no pause between events is longer than this many seconds; 0: no pause at all.
        say: told in one line what is played next.

    Raises:
        ConfigError: the socket cannot be made.
    """
    monitor = Monitor(socket_path, recording.version, quiet=min(max_gap, QUIET))
    while True:
        for scenario in recording.scenarios:
            role = f" ({scenario.role})" if scenario.role else ""
            say(f"{scenario.name}{role}: {len(scenario.events)} events: {scenario.recipe}")
            state = MachineState(
                scenario.events,
                name=name,
                version=recording.version,
                status="inmigrate" if scenario.role == "dst" else "running",
            )
            await monitor.play(list(_cues(scenario.events, max_gap)), state)
            await asyncio.sleep(min(max_gap, BETWEEN))
        if not loop:
            return


def timetable(
    events: Iterable[RecordedEvent], max_gap: float
) -> Iterator[tuple[int, int, RecordedEvent]]:
    """Yield each event with its pause and its lateness, both in microseconds.

    The pause is the time since the event before, the lateness how much older than that it is: an
    event that QEMU held back keeps its stamp and comes after younger ones. Neither is longer than
    `max_gap` seconds.
    """
    longest = round(max_gap * SECOND)
    latest: int | None = None
    for event in events:
        stamp = event.microseconds
        if stamp is None:
            yield 0, 0, event
            continue
        ahead = 0 if latest is None else stamp - latest
        latest = stamp if latest is None else max(latest, stamp)
        yield min(max(ahead, 0), longest), min(max(-ahead, 0), longest), event


def _cues(events: Iterable[RecordedEvent], max_gap: float) -> Iterator[Cue]:
    now = 0
    for pause, late, event in timetable(events, max_gap):
        now += pause
        yield Cue(at=now, event=event, late=late)
