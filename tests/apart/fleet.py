"""Real QEMUs that start and die at random, each with a witness on a second monitor."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from apart.exporter import exporting_apart
from e2e.lab.power import sleep
from qmp_exporter.demo import Machine, devices, disks, operations
from witness import Ear


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from apart.exporter import Subject
    from integration.exporter import Page


PATIENCE = 60.0
"""Seconds that a VM may take to be found, or found gone."""

ARGUMENTS = (
    "-S",
    *devices.PVPANIC,
    *devices.WATCHDOG,
    *devices.CLOCK,
    *disks.ide_disk("disk0", disks.Fault("read")),
)


YEARS = itertools.cycle(range(2030, 2040))


async def _pause(machine: Machine) -> None:
    await machine.execute("stop")
    await machine.execute("cont")


async def _reset(machine: Machine) -> None:
    await machine.execute("system_reset")


async def _button(machine: Machine) -> None:
    await machine.execute("system_powerdown")


async def _panic(machine: Machine) -> None:
    await devices.panic(machine)
    await machine.until("guest-panicked")
    await machine.execute("system_reset")
    await machine.execute("cont")


async def _watchdog(machine: Machine) -> None:
    await devices.fire_watchdog(machine, "pause")
    await machine.until("watchdog")
    await machine.execute("cont")


async def _clock(machine: Machine) -> None:
    await devices.change_rtc(machine, next(YEARS))


async def _disk(machine: Machine) -> None:
    await disks.read(machine, 8)


async def _dump(machine: Machine) -> None:
    await operations.dump(machine)
    await machine.until("running")


async def _sleep(machine: Machine) -> None:
    await sleep(machine, "memory")
    await machine.until("suspended")
    await machine.execute("system_wakeup")


HAPPENS: tuple[Callable[[Machine], Awaitable[object]], ...] = (
    _pause, _reset, _button, _panic, _watchdog, _clock, _disk, _dump, _sleep,
)  # fmt: skip
"""What happens to a machine; it runs again afterwards."""

ENDS: dict[str, Callable[[Machine], Awaitable[object]]] = {
    "crash": Machine.kill,
    "host-quit": Machine.quit,
    "signal": Machine.terminate,
    "guest-shutdown": partial(sleep, kind="off"),
    "watchdog": partial(devices.fire_watchdog, action="poweroff"),
}
"""How it ends, by the cause that is to be counted."""


class Fleet(msgspec.Struct, frozen=True):
    """What was measured.

    Attributes:
        lives: of QEMUs.
        ends: of them, by cause.
        heard: events that the witnesses heard.
        counted: those that the exporter counted.
        missed: by VM and event, what a witness heard and the exporter did not count, but for the
            last event of a QEMU that was killed, perhaps before it had told both.
        misjudged: by VM and cause, ends of it less those that the exporter counted.
        found: seconds from the start of each QEMU until it was shown as up.
    """

    lives: int
    ends: dict[str, int]
    heard: int
    counted: int
    missed: dict[str, dict[str, float]]
    misjudged: dict[str, dict[str, float]]
    found: list[float]


class _Slot:
    """One VM, whose QEMU is started again and again."""

    def __init__(self, place: Path, number: int, seed: float) -> None:
        name = f"vm{number}"
        self.name = name
        self.heard: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.last: Counter[str] = Counter()  # events of those that were killed
        self.found: list[float] = []
        self._ear_path = place / f"{name}.ear"
        ear = ("-qmp", f"unix:{name}.ear,server=on,wait=off")
        self._machine = Machine(place, name, *ARGUMENTS, *ear)
        self._dice = random.Random(seed)  # noqa: S311 - to be repeated

    async def live(self, fleet: _Shown, ends: float) -> None:
        """Start, let things happen, and end, until the time is over."""
        await asyncio.sleep(self._dice.uniform(0, 1))
        try:
            while time.monotonic() < ends:
                await self._once(fleet)
        finally:
            await self._machine.close()

    async def _once(self, fleet: _Shown) -> None:
        began = time.monotonic()
        await self._machine.start()
        ear = Ear()
        listening = asyncio.create_task(ear.listen(self._ear_path))
        await ear.wait(lambda: ear.ready)
        await fleet.connected(self.name, self.ends.total() + 1)
        self.found.append(time.monotonic() - began)
        await self._machine.execute("cont")
        for _ in range(self._dice.randrange(8)):
            await asyncio.sleep(self._dice.expovariate(4))
            await self._dice.choice(HAPPENS)(self._machine)
        cause = self._dice.choice(list(ENDS))
        await ENDS[cause](self._machine)
        await self._machine.wait()
        await listening
        if cause == "crash":
            self.last.update(ear.names[-1:])
        if cause == "watchdog" and not any(
            event["event"] == "WATCHDOG" and event["data"]["action"] == "poweroff"
            for event in ear.heard
        ):
            cause = "crash"  # within a second of another one, QEMU's rate limit held it back
        self.ends[cause] += 1
        self.heard.update(ear.names)
        await asyncio.sleep(self._dice.choice((0.0, 0.1, 1.0)))


class _Shown:
    """What the exporter shows of them, asked for all of them at once."""

    def __init__(self, exporter: Subject) -> None:
        self._exporter = exporter
        self._page: Page | None = None
        self._news = asyncio.Condition()

    async def watch(self) -> None:
        """Scrape until cancelled."""
        while True:
            page = await self._exporter.scrape("qemu_up", "qmp_exporter_connects_total")
            async with self._news:
                self._page = page
                self._news.notify_all()
            await asyncio.sleep(0.02)

    async def connected(self, vm: str, times: int) -> None:
        """Wait until a VM is up, and was connected to so many times."""

        def shown() -> bool:
            page = self._page
            return (
                page is not None
                and page["qemu_up", {"vm": vm}] == 1
                and (page["qmp_exporter_connects_total", {"vm": vm}] or 0) >= times
            )

        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(shown)


async def fleet(place: Path, *, vms: int, seconds: float, seed: int) -> Fleet:
    """Let QEMUs start and die.

    It fails if the exporter does not find one of them, or an end of one.

    Args:
        place: for machines and a log.
        vms: at a time.
        seconds: after which no QEMU is started any more.
        seed: of all that is random.
    """
    dice = random.Random(seed)  # noqa: S311 - to be repeated
    slots = [_Slot(place, number, dice.random()) for number in range(vms)]
    async with exporting_apart(place / "exporter.log", globs=(f"{place}/*.qmp",)) as exporter:
        shown = _Shown(exporter)
        watching = asyncio.create_task(shown.watch())
        ends = time.monotonic() + seconds
        async with asyncio.TaskGroup() as tasks:
            for slot in slots:
                tasks.create_task(slot.live(shown, ends))
        watching.cancel()
        await asyncio.wait((watching,))
        assert watching.cancelled()
        lives = {slot.name: slot.ends.total() for slot in slots}
        page = await exporter.until(
            lambda page: ended(page) == lives and not page.rows("qemu_up"), f"{lives} to have ended"
        )
    missed = {slot.name: _missed(slot, page) for slot in slots}
    counted = sum(page.rows("qmp_exporter_fleet_events_total").values())
    assert counted == sum(page.rows("qemu_events_total").values())
    return Fleet(
        lives=sum(lives.values()),
        ends=dict(sum((slot.ends for slot in slots), Counter())),
        heard=sum(slot.heard.total() for slot in slots),
        counted=int(counted),
        misjudged={slot.name: wrong for slot in slots if (wrong := _misjudged(slot, page))},
        missed={name: events for name, events in missed.items() if events},
        found=[seconds for slot in slots for seconds in slot.found],
    )


def ended(page: Page) -> dict[str, float]:
    """Return how many ends of each VM are counted."""
    found: Counter[str] = Counter()
    for (_, vm), number in page.rows("qemu_vm_exits_total").items():
        found[vm] += int(number)
    return dict(found)


def _missed(slot: _Slot, page: Page) -> dict[str, float]:
    rows = page.rows("qemu_events_total", vm=slot.name)
    counted = Counter({event: int(number) for (event,), number in rows.items()})
    found: dict[str, float] = {}
    for event in slot.heard | counted:
        missed = slot.heard[event] - counted[event]
        # One more than was heard has to be the very last of one that was killed, too.
        if not -slot.ends["crash"] <= missed <= slot.last[event]:
            found[event] = missed
    return found


def _misjudged(slot: _Slot, page: Page) -> dict[str, float]:
    counted = {
        cause: number for (cause,), number in page.rows("qemu_vm_exits_total", vm=slot.name).items()
    }
    found = {cause: slot.ends[cause] - counted.get(cause, 0) for cause in ENDS}
    return {cause: number for cause, number in found.items() if number}
