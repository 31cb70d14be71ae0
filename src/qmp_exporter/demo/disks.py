"""Disks that fail on request, and quorum.

Every disk is three nodes: ``disk0`` (raw, what the guest has) stands on ``disk0-bad`` (blkdebug,
which fails as told) and can be moved to ``disk0-good`` and back while the VM runs. Nothing is
stored: both end in null-co, which reads as zeros.

Sources: QEMU's docs/devel/blkdebug.rst, docs/interop/qmp-ref (BlockdevOptionsBlkdebug,
BlockdevOptionsQuorum, blockdev-reopen), and for the ports ATA-3, sections 7 and 8.
"""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal


if TYPE_CHECKING:
    from pathlib import Path

    from qmp_exporter.demo.machine import Machine


Operation = Literal["read", "write", "flush"]
ReadAction = Literal["report", "ignore", "stop"]
WriteAction = Literal["report", "ignore", "stop", "enospc"]

SIZE = 10 << 20
"""Bytes of a disk."""

SECTOR = 512
"""Bytes of a sector."""

WORDS = SECTOR // 2
"""Accesses to the data port for one sector."""

# Registers of an IDE channel, as offsets from its first port.
CHANNELS = (0x1F0, 0x170)
DATA, COUNT, LOW, MIDDLE, HIGH, DRIVE, COMMAND = 0, 2, 3, 4, 5, 6, 7
DEVICE_CONTROL = 0x206
RESET_BIT, BUSY_BIT, DATA_REQUEST_BIT = 0x04, 0x80, 0x08
READ_SECTORS, WRITE_SECTORS = 0x20, 0x30
LBA_MODE = 0xE0


@dataclass(frozen=True, slots=True)
class Fault:
    """What a disk fails.

    Attributes:
        operation: which requests fail.
        errno: with what; ENOSPC is what the action ``enospc`` looks for.
        sector: only requests that touch this one; all by default.
        once: only the first. With `sector`, for QEMU itself reads sector 0 when it starts.
    """

    operation: Operation
    errno: int = errno.EIO
    sector: int | None = None
    once: bool = False


def ide_disk(
    name: str,
    *faults: Fault,
    channel: int = 0,
    rerror: ReadAction = "report",
    werror: WriteAction = "report",
) -> list[str]:
    """Return QEMU's arguments for an IDE disk that fails as told.

    Args:
        name: of the device and of its node.
        faults: what fails, until `repair`.
        channel: 0 or 1. One disk each: QEMU 7.2 aborts (``retry_unit``) where a second disk of a
            channel stops the VM after the first had an error.
        rerror: what QEMU does about a failed read.
        werror: what it does about a failed write.
    """
    image = f"driver=null-co,size={SIZE},read-zeroes=on"
    device = f"ide-hd,id={name},drive={name},bus=ide.{channel},unit=0"
    return [
        *("-blockdev", f"node-name={name}-good,{image}"),
        *("-blockdev", f"node-name={name}-image,{image}"),
        *("-blockdev", _blkdebug(f"{name}-bad", f"{name}-image", faults)),
        *("-blockdev", f"node-name={name},driver=raw,file={name}-bad"),
        *("-device", f"{device},rerror={rerror},werror={werror}"),
    ]


def _blkdebug(node: str, image: str, faults: tuple[Fault, ...]) -> str:
    options = [f"node-name={node},driver=blkdebug,image={image}"]
    for number, fault in enumerate(faults):
        rule = f"inject-error.{number}"
        options += [f"{rule}.event=none,{rule}.iotype={fault.operation},{rule}.errno={fault.errno}"]
        if fault.sector is not None:
            options += [f"{rule}.sector={fault.sector}"]
        if fault.once:
            options += [f"{rule}.once=on"]
    return ",".join(options)


async def repair(machine: Machine, disk: str) -> None:
    """Let every request of a disk succeed from now on, also the one that stopped the VM."""
    await _move(machine, disk, f"{disk}-good")


async def damage(machine: Machine, disk: str) -> None:
    """Undo `repair`: the faults are back."""
    await _move(machine, disk, f"{disk}-bad")


async def _move(machine: Machine, disk: str, file: str) -> None:
    options = {"driver": "raw", "node-name": disk, "file": file}
    await machine.execute("blockdev-reopen", options=[options])


async def read(machine: Machine, lba: int, *, channel: int = 0) -> None:
    """Read one sector as a guest does, by programmed I/O; the outcome is left to the events."""
    await _command(machine, READ_SECTORS, lba, channel)


async def write(machine: Machine, lba: int, *, channel: int = 0) -> None:
    """Write one sector as a guest does, by programmed I/O; the outcome is left to the events."""
    base = await _command(machine, WRITE_SECTORS, lba, channel)
    if await machine.qtest.inb(base + COMMAND) & DATA_REQUEST_BIT:
        words = (machine.qtest.outw(base + DATA, 0x5555) for _ in range(WORDS))
        await asyncio.gather(*words)


async def _command(machine: Machine, command: int, lba: int, channel: int) -> int:
    """Send a command for one sector; return the first port of its channel."""
    qtest = machine.qtest
    base = CHANNELS[channel]
    # The disk ignores a command while it still offers the data of the last: reset the channel.
    await qtest.outb(base + DEVICE_CONTROL, RESET_BIT)
    await qtest.outb(base + DEVICE_CONTROL, 0)
    while await qtest.inb(base + COMMAND) & BUSY_BIT:
        pass
    await qtest.outb(base + DRIVE, LBA_MODE | lba >> 24 & 0xF)
    await qtest.outb(base + COUNT, 1)
    await qtest.outb(base + LOW, lba & 0xFF)
    await qtest.outb(base + MIDDLE, lba >> 8 & 0xFF)
    await qtest.outb(base + HIGH, lba >> 16 & 0xFF)
    await qtest.outb(base + COMMAND, command)
    return base


def quorum_disk(
    directory: Path,
    machine: str,
    node: str = "quorum0",
    *,
    contents: tuple[int, int, int] = (0, 0, 0),
    faults: tuple[Fault, ...] = (),
) -> list[str]:
    """Write three images and return QEMU's arguments for a quorum of two over them.

    Args:
        directory: of the machine.
        machine: its name, with which the names of the images begin.
        node: name of the quorum; its children are ``NODE-0`` to ``NODE-2``.
        contents: the byte each image is filled with. One that differs is outvoted at a read
            (QUORUM_REPORT_BAD without ``error``); three that differ are QUORUM_FAILURE.
        faults: what child 0 fails (QUORUM_REPORT_BAD with ``error``), and child 1, and child 2; two
            of them are QUORUM_FAILURE.
    """
    arguments: list[str] = []
    for number, content in enumerate(contents):
        image = f"{machine}.{node}-{number}"
        (directory / image).write_bytes(bytes([content]) * (64 << 10))
        file = f"node-name={node}-{number}-image,driver=file,filename={image}"
        debug = _blkdebug(f"{node}-{number}", f"{node}-{number}-image", faults[number : number + 1])
        arguments += ["-blockdev", file, "-blockdev", debug]
    children = ",".join(f"children.{number}={node}-{number}" for number in range(3))
    quorum = f"node-name={node},driver=quorum,vote-threshold=2,{children}"
    return [*arguments, "-blockdev", quorum]


async def quorum_io(machine: Machine, operation: Operation, node: str = "quorum0") -> None:
    """Read, write or flush the first sector of a quorum. No guest and no device is needed."""
    if operation == "flush":
        # QEMU leaves out a flush that has nothing to write back.
        await machine.hmp(f'qemu-io {node} "write 0 {SECTOR}"')
        await machine.hmp(f"qemu-io {node} flush")
    else:
        await machine.hmp(f'qemu-io {node} "{operation} 0 {SECTOR}"')
