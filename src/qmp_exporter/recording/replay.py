"""``qmp-exporter replay``: a recording, served as a monitor again."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qmp_exporter.qmp.queries import STATE
from qmp_exporter.recording.event import SECOND
from qmp_exporter.recording.monitor import MAX_SPEED, PATIENCE, Monitor
from qmp_exporter.recording.state import MachineState


if TYPE_CHECKING:
    from collections.abc import Callable

    from qmp_exporter.recording.tape import Tape


BETWEEN: Final = 1.0
"""Seconds without a socket, for the client to see that QEMU has gone, before it begins again."""


async def replay(  # noqa: PLR0913 - all that is not a place has its name at the call
    tape: Tape,
    socket: Path | None,
    *,
    say: Callable[[str], None],
    speed: float = 1.0,
    loop: bool = False,
    patience: float = PATIENCE,
) -> None:
    """Serve a recording as a monitor, until its end or until cancelled.

    A recording that was stopped while QEMU ran has no end: the monitor stays, as that of a machine
    to which nothing happens any more.

    Args:
        tape: what to serve.
        socket: where; a temporary one if there is none.
        say: told in a line what goes on.
        speed: how many times as fast as it was.
        loop: begin again at the end, whatever it is.
        patience: seconds that a recorded reply waits for its question.

    Raises:
        ConfigError: the socket cannot be made.
    """
    with ExitStack() as stack:
        if socket is None:
            made = stack.enter_context(tempfile.TemporaryDirectory(prefix="qmp-exporter-"))
            socket = Path(made) / "replay.qmp"
        monitor = Monitor(socket, tape.version, speed=speed, patience=patience)
        stays = tape.end != "gone" and not loop
        say(f"{_described(tape)}, {_paced(speed)}")
        say(f"the monitor is {socket}{'; Ctrl-C ends it' if stays or loop else ''}")
        while True:
            state = MachineState(version=tape.version, unknown=_unasked(tape))
            await monitor.play(tape.cues, state, stays=stays, hangs_up=tape.end == "closed")
            if not loop:
                say("all is played: QEMU has ended")
                return
            await asyncio.sleep(BETWEEN)


def _unasked(tape: Tape) -> set[str]:
    """Return what an older exporter did not ask, and this one is not to be told other than it was.

    A recording without any reply has only events: there all that is asked is answered from those.
    """
    asked = {cue.command for cue in tape.cues if cue.command}
    return set(STATE) - asked if asked else set()


def _described(tape: Tape) -> str:
    began = datetime.fromtimestamp(tape.began / SECOND, UTC).strftime("%Y-%m-%d %H:%M UTC")
    version = ".".join(map(str, tape.version))
    return f"{tape.events} events in {tape.seconds:.1f} s of QEMU {version}, recorded {began}"


def _paced(speed: float) -> str:
    if speed == MAX_SPEED:
        return "as fast as they are taken"
    return "as fast as they came" if speed == 1 else f"{speed:g} times as fast"
