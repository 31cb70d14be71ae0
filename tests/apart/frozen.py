"""A QEMU that hangs among others that do not."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import msgspec

from apart.program import program
from qmp_exporter.demo import Machine


if TYPE_CHECKING:
    from pathlib import Path

    from e2e.page import Page


OTHERS = 5
"""QEMUs that do not hang."""


class Freeze(msgspec.Struct, frozen=True):
    """What was measured.

    Attributes:
        unresponsive: seconds from SIGSTOP to that being shown.
        again: seconds from SIGCONT to the VM being up, all that happened meanwhile counted.
        stops: of each of the others, counted meanwhile.
        slowest: seconds of the slowest scrape meanwhile.
    """

    unresponsive: float
    again: float
    stops: list[float]
    slowest: float


async def freeze(place: Path, *, patience: float, hold: float) -> Freeze:
    """Stop a QEMU's process, and let it go on.

    It fails if it is not shown as unresponsive, if an event is not counted, if a connection is
    lost, or if another VM is shown as anything but up.

    Args:
        place: for machines and a log.
        patience: seconds in which it has to be shown as unresponsive.
        hold: seconds that it stays stopped after that.
    """
    async with AsyncExitStack() as stack:
        machines = [Machine(place, f"vm{number}") for number in range(OTHERS + 1)]
        for machine in machines:
            await stack.enter_async_context(machine)
        frozen, *others = machines
        names = [machine.name for machine in others]
        glob = f"{place}/*.qmp"
        exporter = await stack.enter_async_context(program(place / "log", "--qmp.socket", glob))
        await exporter.reads(lambda page: sum(up(page, m.name) for m in machines) == len(machines))
        scrapes = [0.0]

        def seen(page: Page, target: str) -> bool:
            assert all(up(page, name) for name in names), names
            return page.target(frozen.name) == target

        async def until(target: str, seconds: float) -> float:
            began = time.monotonic()
            async with asyncio.timeout(seconds):
                while True:
                    asked = time.monotonic()
                    page = await exporter.page()
                    scrapes.append(time.monotonic() - asked)
                    if seen(page, target):
                        return time.monotonic() - began
                    await asyncio.sleep(0.05)

        over = asyncio.Event()
        pausing = [asyncio.create_task(paused(machine, over)) for machine in others]
        frozen.signal(signal.SIGSTOP)
        unresponsive = await until("unresponsive", patience)
        assert up(await exporter.page(), frozen.name) == 0
        with suppress(TimeoutError):
            await until("connected", hold)
            raise AssertionError("it is shown as connected, and does not answer")
        # It will find these when it goes on.
        waiting = [
            asyncio.create_task(frozen.execute(command)) for command in ("stop", "cont", "stop")
        ]
        await asyncio.sleep(0.1)
        began = time.monotonic()
        frozen.signal(signal.SIGCONT)
        await asyncio.gather(*waiting)
        await exporter.reads(
            lambda page: (
                up(page, frozen.name)
                and page.status(frozen.name) == "paused"
                and stops(page, frozen.name) == 2
            )
        )
        again = time.monotonic() - began
        over.set()
        counts = await asyncio.gather(*pausing)
        page = await exporter.reads(
            lambda page: (
                [stops(page, name) for name in names] == counts
                and all(up(page, name) for name in names)
            )
        )
        for machine in machines:
            assert page.value("qmp_exporter_connects_total", vm=machine.name) == 1
            assert page.rows("qmp_exporter_disconnects_total", "reason", vm=machine.name) == {}
            assert page.rows("qemu_vm_exits_total", "cause", vm=machine.name) == {}
    return Freeze(unresponsive, again, counts, max(scrapes))


def up(page: Page, vm: str) -> float:
    """Return what is shown."""
    return page.value("qemu_up", vm=vm) or 0


def stops(page: Page, vm: str) -> float:
    """Return how many stops of a VM are counted."""
    return sum(page.rows("qemu_vm_stops_total", "cause", vm=vm).values())


async def paused(machine: Machine, over: asyncio.Event) -> float:
    """Pause a machine again and again; return how often."""
    number = 0
    while not over.is_set():
        await machine.execute("stop")
        number += 1
        await machine.execute("cont")
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), 0.3)
    return number
