"""One VM that sends as fast as it can, beside others that say little."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from apart.exporter import FLOOD, exporting_apart
from apart.swarm import swarm


if TYPE_CHECKING:
    from pathlib import Path


class Fairness(msgspec.Struct, frozen=True):
    """What was measured.

    Attributes:
        quiet: seconds from the sending of each event to its being applied, without a flood.
        flooded: the same beside a flood.
        flood: events a second of the flood.
        scrapes: seconds of each scrape beside the flood.
    """

    quiet: list[float]
    flooded: list[float]
    flood: float
    scrapes: list[float]


async def fairness(place: Path, *, vms: int, every: float, seconds: float) -> Fairness:
    """Let quiet VMs send, without and with another one that floods.

    Args:
        place: for sockets and logs.
        vms: quiet ones.
        every: seconds between two events of each of them.
        seconds: of each of both.
    """
    sockets = place / "s"
    sockets.mkdir()
    async with (
        swarm(place / "quiet.log") as them,
        swarm(place / "flood.log") as storm,
        exporting_apart(place / "exporter.log", globs=(f"{sockets}/*.qmp",)) as exporter,
    ):
        await them.ask("gather", directory=str(sockets), number=vms)
        await them.ask("talk", every=every)
        await exporter.delays()
        await asyncio.sleep(seconds)
        quiet = await exporter.delays()
        await storm.ask("flood", path=str(sockets / f"{FLOOD}.qmp"))
        before = (await exporter.scrape("qemu_events_total")).rows("qemu_events_total", vm=FLOOD)
        began = time.monotonic()
        await exporter.delays()
        scrapes = []
        while time.monotonic() < began + seconds:
            await asyncio.sleep(0.5)
            asked = time.monotonic()
            async with exporter.client.get("/metrics") as response:
                await response.read()
            scrapes.append(time.monotonic() - asked)
        flooded = await exporter.delays()
        after = (await exporter.scrape("qemu_events_total")).rows("qemu_events_total", vm=FLOOD)
        took = time.monotonic() - began
        await storm.ask("hush")
        await them.ask("hush")
    return Fairness(quiet, flooded, (sum(after.values()) - sum(before.values())) / took, scrapes)
