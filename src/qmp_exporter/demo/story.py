"""The story the demo tells: two machines, and what happens to them.

Each step leaves its machine running, and a machine that is not is started again: so the story can
go on for ever.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack
from errno import EIO, ENOSPC
from functools import partial
from typing import TYPE_CHECKING

from qmp_exporter.demo import devices, disks, steps
from qmp_exporter.demo.channel import LabError
from qmp_exporter.demo.machine import Machine
from qmp_exporter.demo.steps import Scene


if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qmp_exporter.demo.steps import Step


NAMES = ("web", "db")
"""The machines. Their monitors for the exporter are ``web.qmp`` and ``db.qmp``."""

STEP_TIMEOUT = 60.0
"""Seconds for a step, without its pauses."""

UUIDS = {
    "web": "5eb00000-0000-4000-8000-000000000001",
    "db": "db000000-0000-4000-8000-000000000002",
}


def machine(directory: Path, name: str) -> Machine:
    """Return one of the two machines, not started."""
    read, write = disks.Fault("read", EIO), disks.Fault("write", EIO)
    full = disks.Fault("write", ENOSPC)
    return Machine(
        directory,
        name,
        *disks.ide_disk("disk0", read, full, channel=0, rerror="report", werror="enospc"),
        *disks.ide_disk("disk1", read, write, channel=1, rerror="stop", werror="ignore"),
        *disks.quorum_disk(directory, name, contents=(1, 0, 0)),
        *devices.WATCHDOG,
        *devices.PVPANIC,
        *devices.BALLOON,
        *("-vnc", f"unix:{name}.vnc" + (",password=on" if name == "db" else "")),
        uuid=UUIDS[name],
    )


STORY: tuple[tuple[str, Step], ...] = (
    ("web", steps.failed_read),
    ("db", steps.ignored_write),
    ("web", steps.stopping_read),
    ("db", steps.full_disk),
    ("db", steps.outvoted_child),
    ("web", steps.look_at_screen),
    ("db", steps.guess_password),
    ("web", steps.operators_pause),
    ("web", partial(steps.watchdog, action="pause")),
    ("db", partial(steps.watchdog, action="reset")),
    ("web", steps.set_clock),
    ("db", steps.inflate_balloon),
    ("web", steps.panic),
    ("web", steps.migration),
    ("db", steps.failing_migration),
    ("web", partial(steps.watchdog, action="none")),
    ("db", partial(steps.watchdog, action="debug")),
    ("web", steps.cancelled_migration),
    ("db", steps.deflate_balloon),
    ("web", steps.memory_dump),
    ("db", steps.sudden_death),
    ("web", partial(steps.watchdog, action="shutdown")),
    ("web", steps.operators_reset),
    ("db", steps.crash_kernel),
    ("web", steps.quit_and_start),
    ("db", partial(steps.watchdog, action="inject-nmi")),
    ("db", partial(steps.watchdog, action="poweroff")),
)
"""One round: who, and what happens to it."""


async def tell(
    say: Callable[[str], None],
    directory: Path,
    *,
    pause: float = 1.0,
    rounds: int | None = None,
) -> None:
    """Start the machines and let things happen to them until cancelled.

    At the end, however it comes, no process, socket or file of the machines is left.

    Args:
        say: is given one plain line for each thing that happens.
        directory: an empty directory with a short path; the exporter finds ``web.qmp`` and
            ``db.qmp`` there.
        pause: seconds between two steps.
        rounds: end after so many; for ever by default.

    Raises:
        MachineError: QEMU is missing or does not start.
    """
    async with AsyncExitStack() as stack:
        scenes = {
            name: Scene(await stack.enter_async_context(machine(directory, name)), say, pause)
            for name in NAMES
        }
        for scene in scenes.values():
            scene.say(f"QEMU runs, process {scene.machine.pid}")
        for _ in itertools.count() if rounds is None else range(rounds):
            for name, step in STORY:
                await asyncio.sleep(pause)
                await _perform(step, scenes[name])


async def _perform(step: Step, scene: Scene) -> None:
    """Take one step. Where it went wrong, start the machine again, until it runs."""
    try:
        async with asyncio.timeout(STEP_TIMEOUT + 10 * scene.pause):
            await step(scene)
            if await scene.machine.status() == "running":
                return
        scene.say("the VM does not run")
    except (LabError, OSError) as error:
        scene.say(f"this went wrong: {str(error) or 'it takes too long'}")
    await scene.machine.kill()
    while not scene.machine.running:
        scene.say("the VM is started again")
        try:
            await scene.machine.start()
        except (LabError, OSError) as error:
            scene.say(str(error))
            await scene.wait()
