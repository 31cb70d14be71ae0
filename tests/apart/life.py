"""Connections made and lost by the thousand, and what they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apart.exporter import exporting_apart
from apart.swarm import swarm
from qmp_exporter.qmp.timing import Timing


if TYPE_CHECKING:
    from pathlib import Path

    from apart.exporter import Figures


QUICK = Timing(first_retry=0.01, last_retry=0.05, busy_retry=0.05, look=0.05)
"""Tries again at once: a year of retries in minutes."""


async def years(place: Path, *, vms: int, first: int, then: int) -> tuple[Figures, Figures]:
    """Make and lose connections; return what the exporter held before the last of them and after.

    It fails unless every connection and every event was counted, and tasks, descriptors and loggers
    are as many as before.

    Args:
        place: for sockets and logs.
        vms: monitors at the same time.
        first: connections after which is measured.
        then: connections more.
    """
    sockets = place / "s"
    sockets.mkdir()
    async with (
        swarm(place / "swarm.log") as them,
        exporting_apart(
            place / "exporter.log", globs=(f"{sockets}/*.qmp",), timing=QUICK
        ) as exporter,
    ):
        await them.ask("gather", directory=str(sockets), number=vms)
        await them.ask("cycle", cycles=first)
        await exporter.scrape()
        before = await exporter.figures()
        seen = await them.ask("cycle", cycles=then)
        names = ("qmp_exporter_connects_total", "qemu_events_total", "qemu_up")
        page = await exporter.until(
            lambda page: sum(page.rows("qemu_up").values()) == vms, "all VMs"
        )
        page = await exporter.scrape(*names)
        counted = {
            vm: (
                page["qmp_exporter_connects_total", {"vm": vm}],
                page["qemu_events_total", {"vm": vm, "event": "RTC_CHANGE"}],
            )
            for vm in page.vms()
        }
        wrong = {
            vm: (counted.get(vm), both) for vm, both in seen.items() if counted[vm] != (*both,)
        }
        assert not wrong, wrong
        assert counted.keys() == seen.keys()
        assert sum(connections for connections, _ in seen.values()) == vms + first + then
        after = await exporter.settled(before)
    return before, after
