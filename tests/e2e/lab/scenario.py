"""Machines that a witness hears and the exporter watches, each on a monitor of its own."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from e2e.page import Exporter, Page, exporting
from qmp_exporter.demo import Machine
from witness import Ear, hearing


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


UUID: Final = "5eb00000-0000-4000-8000-000000000001"
NEW: Final = f"vm~{UUID[:8]}"
"""What the destination of a migration is shown as while the source has the name."""


@dataclass
class Scenario:
    """See the module.

    Attributes:
        machine: what things happen to.
        ear: what it said.
        exporter: what is made of it.
        vm: the name that it is shown under.
    """

    machine: Machine
    ear: Ear
    exporter: Exporter
    vm: str = "vm"

    async def hears(self, *events: str) -> list[dict[str, Any]]:
        """Wait until QEMU has sent these events in this order, and return their data."""
        return await self.ear.hear(*events)

    def heard(self, event: str) -> list[dict[str, Any]]:
        """Return the data of all events of a kind so far."""
        return [one.get("data", {}) for one in self.ear.heard if one["event"] == event]

    def stamps(self, event: str) -> list[float]:
        """Return when all events of a kind so far happened, in Unix seconds, as they came."""
        found = [one["timestamp"] for one in self.ear.heard if one["event"] == event]
        return [stamp["seconds"] + stamp["microseconds"] / 1e6 for stamp in found]

    async def statuses(self, last: str) -> list[str]:
        """Wait until its migration has this status; return all that it had, and it."""

        def seen() -> list[str]:
            return [str(data["status"]) for data in self.heard("MIGRATION")]

        await self.ear.wait(lambda: last in seen())
        return seen()

    async def reads(self, metric: str, value: float, /, **labels: str) -> Page:
        """Wait until the one series with these labels has this value; return the next page."""
        return await self.exporter.until(metric, value, vm=self.vm, **labels)

    def rows(self, page: Page, metric: str, *by: str) -> dict[Any, float]:
        """Return what a metric of the machine reads, by these labels, without zeros."""
        return page.rows(metric, *by, vm=self.vm)


@asynccontextmanager
async def scenario(directory: Path, *args: str) -> AsyncIterator[Scenario]:
    """Run a machine with these arguments of QEMU, whose state has been read."""
    async with (
        Machine(directory, "vm", *_second_monitor("vm"), *args) as machine,
        hearing(directory / "vm.ear") as ear,
        exporting(machine.monitor) as exporter,
    ):
        await exporter.ready(machine)
        yield Scenario(machine, ear, exporter)


@asynccontextmanager
async def both_ends(directory: Path) -> AsyncIterator[tuple[Scenario, Scenario]]:
    """Run a source, and then its destination, the same VM by name and uuid, under one exporter."""
    incoming = ("-incoming", "defer")
    source, destination = (
        Machine(directory, name, "-name", "vm", *_second_monitor(name), *args, uuid=UUID)
        for name, args in (("src", ()), ("dst", incoming))
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(source)
        monitors = (source.monitor, destination.monitor)
        exporter = await stack.enter_async_context(exporting(*monitors))
        await exporter.ready(source)
        await stack.enter_async_context(destination)
        await exporter.ready(source, destination)
        first, second = [
            await stack.enter_async_context(hearing(directory / f"{name}.ear"))
            for name in ("src", "dst")
        ]
        yield (
            Scenario(source, first, exporter, "vm"),
            Scenario(destination, second, exporter, NEW),
        )


def _second_monitor(name: str) -> tuple[str, str]:
    return "-qmp", f"unix:{name}.ear,server=on,wait=off"
