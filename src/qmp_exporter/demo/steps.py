"""What can happen to a machine of the demo.

The docstring of each step names the events it brings. Whatever happens is over at its end: the
step leaves the machine running, so any other may come next.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from qmp_exporter.demo import devices, disks, operations, rfb


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from qmp_exporter.demo.devices import WatchdogAction
    from qmp_exporter.demo.machine import Machine


@dataclass
class Scene:
    """One of the machines on the stage.

    Attributes:
        machine: the machine.
        tell: says a line to the audience.
        pause: seconds between a cause and its remedy.
        years: what its clock shows next, from 2030 to 2039 and over again.
    """

    machine: Machine
    tell: Callable[[str], None]
    pause: float
    years: Iterator[int] = field(default_factory=lambda: itertools.cycle(range(2030, 2040)))

    def say(self, line: str) -> None:
        """Say what happens, after the name of the machine."""
        self.tell(f"{self.machine.name}: {line}")

    async def wait(self) -> None:
        """Let the audience look."""
        await asyncio.sleep(self.pause)

    async def go_on(self) -> None:
        """Let a stopped VM run again."""
        await self.machine.execute("cont")
        await self.machine.until("running")


async def failed_read(scene: Scene) -> None:
    """BLOCK_IO_ERROR, action report."""
    scene.say("a read of disk0 fails; QEMU reports it to the guest")
    await disks.read(scene.machine, 8, channel=0)


async def ignored_write(scene: Scene) -> None:
    """BLOCK_IO_ERROR, action ignore."""
    scene.say("a write to disk1 fails; QEMU tells the guest that all is well")
    await disks.write(scene.machine, 8, channel=1)


async def stopping_read(scene: Scene) -> None:
    """BLOCK_IO_ERROR, action stop; STOP; RESUME."""
    scene.say("a read of disk1 fails; QEMU stops the VM")
    await disks.read(scene.machine, 8, channel=1)
    await _mend(scene, "disk1", "the disk is repaired; the VM goes on where it stopped")


async def full_disk(scene: Scene) -> None:
    """BLOCK_IO_ERROR with nospace; STOP; RESUME."""
    scene.say("no space is left for disk0; QEMU stops the VM")
    await disks.write(scene.machine, 8, channel=0)
    await _mend(scene, "disk0", "somebody has made room; the VM goes on where it stopped")


async def _mend(scene: Scene, disk: str, line: str) -> None:
    await scene.machine.until("io-error")
    await scene.wait()
    scene.say(line)
    await disks.repair(scene.machine, disk)
    await scene.go_on()
    await disks.damage(scene.machine, disk)


async def outvoted_child(scene: Scene) -> None:
    """QUORUM_REPORT_BAD."""
    scene.say("one of three copies of quorum0 differs from the others and is outvoted")
    await disks.quorum_io(scene.machine, "read")


async def operators_pause(scene: Scene) -> None:
    """STOP; RESUME."""
    scene.say("an operator pauses the VM")
    await scene.machine.execute("stop")
    await scene.wait()
    scene.say("the operator lets the VM go on")
    await scene.go_on()


async def operators_reset(scene: Scene) -> None:
    """RESET."""
    scene.say("an operator presses the reset button")
    await scene.machine.execute("system_reset")


async def watchdog(scene: Scene, action: WatchdogAction) -> None:
    """WATCHDOG, and what its action brings."""
    scene.say(f"the guest hangs and the watchdog fires; QEMU's action is {action}")
    await devices.fire_watchdog(scene.machine, action)
    if action == "pause":
        await scene.machine.until("watchdog")
        await scene.wait()
        scene.say("an operator has looked at it and lets the VM go on")
        await scene.go_on()
    if action == "poweroff":
        await scene.machine.wait()
        await _start_again(scene)


async def panic(scene: Scene) -> None:
    """GUEST_PANICKED; STOP; RESET; RESUME."""
    scene.say("the guest's kernel panics; QEMU stops the VM")
    await devices.panic(scene.machine)
    await scene.machine.until("guest-panicked")
    await scene.wait()
    scene.say("the VM is reset and goes on")
    await scene.machine.execute("system_reset")
    await scene.go_on()


async def crash_kernel(scene: Scene) -> None:
    """GUEST_CRASHLOADED."""
    scene.say("the guest crashes and loads its crash kernel")
    await devices.crashload(scene.machine)


async def set_clock(scene: Scene) -> None:
    """RTC_CHANGE."""
    year = next(scene.years)
    scene.say(f"the guest sets its clock to the year {year}")
    await devices.change_rtc(scene.machine, year)


async def inflate_balloon(scene: Scene) -> None:
    """BALLOON_CHANGE."""
    scene.say("the guest gives 16 of its 64 MiB back to the host")
    await devices.set_balloon_actual(scene.machine, (16 << 20) // devices.PAGE)


async def deflate_balloon(scene: Scene) -> None:
    """BALLOON_CHANGE."""
    scene.say("the guest takes its memory back")
    await devices.set_balloon_actual(scene.machine, 0)


async def look_at_screen(scene: Scene) -> None:
    """VNC_CONNECTED; VNC_INITIALIZED; VNC_DISCONNECTED."""
    scene.say("somebody opens the screen with VNC")
    async with rfb.viewer(_screen(scene)):
        await scene.wait()
        scene.say("and closes it again")


async def guess_password(scene: Scene) -> None:
    """VNC_CONNECTED; VNC_DISCONNECTED."""
    scene.say("somebody tries to log in at the screen with a wrong password")
    await rfb.wrong_password(_screen(scene))


def _screen(scene: Scene) -> Path:
    return scene.machine.directory / f"{scene.machine.name}.vnc"


async def migration(scene: Scene) -> None:
    """MIGRATION to completed; STOP; MIGRATION_PASS; RESUME."""
    scene.say("the VM migrates; QEMU stops it at the end")
    outcome = await operations.migrate(scene.machine)
    await scene.machine.until("postmigrate")
    await scene.wait()
    scene.say(f"the migration is {outcome}; the VM goes on here all the same")
    await scene.go_on()


async def failing_migration(scene: Scene) -> None:
    """MIGRATION to failed."""
    scene.say("a migration finds nobody at the other end")
    outcome = await operations.migrate(scene.machine, "exec:false")
    await scene.machine.until("running")
    scene.say(f"the migration has {outcome}; the VM runs on")


async def cancelled_migration(scene: Scene) -> None:
    """MIGRATION to cancelled."""
    scene.say("a migration takes too long and is cancelled")
    await operations.migrate_cancelled(scene.machine)
    await scene.machine.until("running")


async def memory_dump(scene: Scene) -> None:
    """DUMP_COMPLETED; STOP and RESUME around it."""
    scene.say("an operator dumps the guest's memory")
    await operations.dump(scene.machine)
    await scene.machine.until("running")


async def quit_and_start(scene: Scene) -> None:
    """SHUTDOWN, then another process on the same path."""
    scene.say("an operator ends QEMU with quit")
    await scene.machine.quit()
    await _start_again(scene)


async def sudden_death(scene: Scene) -> None:
    """Nothing at all, then another process on the same path."""
    scene.say("QEMU is killed, as by the kernel when memory runs out")
    await scene.machine.kill()
    await _start_again(scene)


async def _start_again(scene: Scene) -> None:
    await scene.wait()
    scene.say("the VM is started again, its monitor has the same path")
    await scene.machine.start()


Step: TypeAlias = "Callable[[Scene], Awaitable[None]]"
