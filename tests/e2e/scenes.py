"""What docs/tracing.md shows: tests hold it to what happens, its pictures are drawn from it."""

from __future__ import annotations

import asyncio
from errno import EIO
from typing import TYPE_CHECKING

from e2e.lab.scenario import NEW
from e2e.stage import stage, two_ends
from qmp_exporter.demo import devices, disks, operations


if TYPE_CHECKING:
    from pathlib import Path

    from e2e.stage import Stage


async def io_error(directory: Path, seconds: float = 0.0) -> Stage:
    """A read fails and stops the machine, for so many seconds; it is repaired and goes on."""
    disk = disks.ide_disk("disk0", disks.Fault("read", EIO), rerror="stop")
    async with stage(directory, *disk) as found, found.exporting():
        await disks.read(found.machine, 8)
        await found.machine.until("io-error")
        await asyncio.sleep(seconds)
        await disks.repair(found.machine, "disk0")
        await found.machine.execute("cont")
        await found.spans("qemu.stop")
    return found


async def migration(directory: Path, speed: int = 0) -> Stage:
    """A machine migrates to another, at so many bytes a second if that is said."""
    async with two_ends(directory) as found, found.exporting():
        source, destination = found.machines["vm"], found.machines[NEW]
        if speed:
            await source.execute("migrate-set-parameters", **{"max-bandwidth": speed})
        assert await operations.migrate_between(source, destination) == "completed"
        await found.spans("qemu.migration", "qemu.migration", "qemu.stop")
        found.told = await source.execute("query-migrate")
    return found


async def watchdog_reset(directory: Path) -> Stage:
    """The guest hangs, its watchdog runs out, and QEMU resets the machine."""
    async with stage(directory, *devices.WATCHDOG) as found, found.exporting():
        await devices.fire_watchdog(found.machine, "reset")
        await found.hear("WATCHDOG", "RESET")
    return found
