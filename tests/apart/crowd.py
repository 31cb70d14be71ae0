"""Fake VMs by the thousand that come and go, and what they leave."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from apart.exporter import exporting_apart
from apart.swarm import swarm


if TYPE_CHECKING:
    from pathlib import Path

    from apart.exporter import Figures, Subject
    from integration.exporter import Page


GRACE = 2.0
"""Seconds that the series of a VM stay."""

PATIENCE = 120.0
"""Seconds in which all VMs have to be found gone."""


class Churn(msgspec.Struct, frozen=True):
    """What was measured.

    Attributes:
        lives: VMs that came.
        connections: of which the state was read to the end.
        sent: events after that, by name.
        exits: ends of VMs counted, by cause.
        scrapes: seconds of each scrape meanwhile, the fastest first.
        before: what the exporter held before the first VM.
        most: when the last had gone, within its grace.
        after: when the grace of the last was over.
    """

    lives: int
    connections: int
    sent: dict[str, int]
    exits: dict[str, float]
    scrapes: list[float]
    before: Figures
    most: Figures
    after: Figures


async def churned(place: Path, *, vms: int, seconds: float, seed: int = 1) -> Churn:
    """Let VMs come and go, and wait until nothing of them is left.

    It fails unless that is so, or if an event that a connected VM sent was not counted.

    Args:
        place: for sockets and logs.
        vms: at a time.
        seconds: for which they come.
        seed: which of all possible lives they live.
    """
    sockets = place / "s"
    sockets.mkdir()
    async with (
        swarm(place / "swarm.log") as them,
        exporting_apart(
            place / "exporter.log", globs=(f"{sockets}/*.qmp",), vm_grace=GRACE
        ) as exporter,
    ):
        # One VM first: what is made once is made.
        await them.ask("churn", directory=str(sockets), number=1, seconds=0.1, seed=0)
        await gone(exporter)
        earlier = (await exporter.scrape()).rows("qmp_exporter_fleet_events_total")
        before = await exporter.figures()
        times: list[float] = []
        watching = asyncio.create_task(scraped(exporter, times))
        told = await them.ask(
            "churn", directory=str(sockets), number=vms, seconds=seconds, seed=seed
        )
        watching.cancel()
        await asyncio.wait((watching,))
        most = await exporter.figures()
        page = await gone(exporter)
        assert page.rows("qmp_exporter_targets") == {}
        assert page.rows("qmp_exporter_sink_errors_total") == {}
        fleet = page.rows("qmp_exporter_fleet_events_total")
        counted = {name: n - earlier.get((name,), 0) for (name,), n in fleet.items()}
        counted = {name: n for name, n in counted.items() if n}
        assert counted == told["sent"], f"counted {counted}, sent {told}"
        exits = {cause: n for (cause,), n in page.rows("qmp_exporter_fleet_exits_total").items()}
        after = await exporter.settled(before)
    return Churn(
        lives=told["lives"],
        connections=told["connections"],
        sent=told["sent"],
        exits=exits,
        scrapes=sorted(times),
        before=before,
        most=most,
        after=after,
    )


async def gone(exporter: Subject) -> Page:
    """Wait until nothing is left of any VM."""
    ends = time.monotonic() + PATIENCE
    page = await exporter.scrape()
    while page.vms() and time.monotonic() < ends:
        await asyncio.sleep(0.2)
        page = await exporter.scrape("qemu_up", "qmp_exporter_target_state")
    left = {vm: page.state(vm) for vm in page.vms()}
    assert not left, f"left after {PATIENCE} s: {left}"
    page = await exporter.scrape()
    assert page.vms() == set()
    return page


async def scraped(exporter: Subject, times: list[float]) -> None:
    """Scrape once a second, and note how many seconds each scrape takes."""
    while True:
        began = time.monotonic()
        async with exporter.client.get("/metrics") as response:
            await response.read()
        times.append(time.monotonic() - began)
        await asyncio.sleep(1)
