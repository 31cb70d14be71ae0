"""Two exporters on one monitor of a real QEMU, which serves one of them."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from apart.program import program
from qmp_exporter.demo import Machine


if TYPE_CHECKING:
    import signal
    from collections.abc import Sequence

    from e2e.page import Page


PATIENCE = 60.0
"""Seconds in which the second has to take over at all."""

CONNECTING = "02"
"""SS_CONNECTING of linux/net.h, as /proc/net/unix shows it: it waits for the monitor."""

LOOK_EVERY = 0.5
"""Seconds between two looks at the waiting ones."""


class Turn(msgspec.Struct, frozen=True):
    """What was measured while one exporter was served and the other was not.

    Attributes:
        busy: seconds that it was so.
        waiting: entries of /proc/net/unix that waited, at most and at the end.
        end: the signal that ended the first.
        takeover: seconds from that to the second being connected.
    """

    busy: float
    waiting: tuple[int, int]
    end: str
    takeover: float


async def turns(place: Path, plan: Sequence[tuple[float, signal.Signals]]) -> list[Turn]:
    """Let exporters take a monitor over from one another.

    It fails if a second one says anything but ``busy``, or the first one is disturbed.

    Args:
        place: for a machine and logs.
        plan: for each turn how many seconds it lasts, and how the first exporter ends.
    """
    found = []
    # QEMU is given the whole path: the kernel shows a socket by the path that it was bound to.
    monitor = f"unix:{place}/vm.qmp,server=on,wait=off"
    async with Machine(place, "vm", monitor=monitor) as machine, AsyncExitStack() as stack:
        arguments = ("--qmp.socket", str(machine.monitor))
        first = await stack.enter_async_context(program(place / "0.log", *arguments))
        await first.reads(connected)
        for number, (seconds, end) in enumerate(plan, 1):
            log = place / f"{number}.log"
            second = await stack.enter_async_context(program(log, *arguments))
            await second.reads(busy)
            most = left = 0
            until = time.monotonic() + seconds
            while (rest := until - time.monotonic()) > 0:
                await asyncio.sleep(min(rest, LOOK_EVERY))
                left = waiting(machine.monitor)
                most = max(most, left)
            assert busy(await second.page())
            page = await first.page()
            assert connected(page)
            assert page.value("qmp_exporter_connects_total") == 1
            first.child.send_signal(end)
            began = time.monotonic()
            await second.reads(connected, PATIENCE)
            found.append(Turn(seconds, (most, left), end.name, time.monotonic() - began))
            assert machine.running
            first = second
    return found


def connected(page: Page) -> bool:
    """Whether the VM is watched."""
    return (page.value("qemu_up"), page.target()) == (1, "connected")


def busy(page: Page) -> bool:
    """Whether somebody else is seen to watch it."""
    return (page.value("qemu_up"), page.target()) == (0, "busy")


def waiting(path: Path) -> int:
    """Return how many wait to be served by a monitor."""
    table = Path("/proc/net/unix").read_text().splitlines()
    return sum(line.endswith(f" {path}") and line.split()[5] == CONNECTING for line in table)
