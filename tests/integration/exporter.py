"""A whole exporter in this process, and the page that Prometheus would get from it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from unittest import mock

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from qmp_exporter import app as module
from qmp_exporter.app import App
from qmp_exporter.config.settings import Settings
from qmp_exporter.model.target import Target
from unit.qmp.watching import PATIENCE, QUICK, nothing_left, target_of


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from typing import Any

    from fake_qmp import FakeMonitor
    from qmp_exporter.qmp.timing import Timing

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Page:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in self.samples, f"twice: {key}"
                self.samples[key] = sample.value

    def __getitem__(self, series: str | tuple[str, dict[str, str]]) -> float | None:
        """The value of a series: `page["qemu_up", {"vm": "web01"}]`; none if it is not there."""
        name, labels = (series, {}) if isinstance(series, str) else series
        return self.samples.get((name, frozenset(labels.items())))

    def rows(self, name: str, **labels: str) -> dict[tuple[str, ...], float]:
        """Return values that are not 0, by the values of the labels that are not given, by name."""
        found = {}
        for (other, pairs), value in self.samples.items():
            rest = dict(pairs)
            if other == name and value and all(rest.pop(k, None) == v for k, v in labels.items()):
                found[tuple(rest[key] for key in sorted(rest))] = value
        return found

    def vms(self) -> set[str]:
        """The names of all VMs that have any series."""
        return {dict(pairs)["vm"] for _, pairs in self.samples if "vm" in dict(pairs)}

    def state(self, vm: str) -> str:
        """The state of a VM's monitor."""
        ((found,),) = self.rows("qmp_exporter_target_state", vm=vm)
        return found


class Exporter:
    """An exporter under test.

    Attributes:
        app: what is running.
        client: of its HTTP side.
    """

    def __init__(self, app: App, client: aiohttp.ClientSession) -> None:
        self.app = app
        self.client = client

    async def scrape(self, *names: str) -> Page:
        """Scrape, everything or these metrics."""
        params = [("name[]", name) for name in names]
        async with self.client.get("/metrics", params=params) as response:
            assert response.status == 200
            return Page(await response.text())

    async def until(self, reached: Callable[[Page], Any], what: str, *names: str) -> Page:
        """Scrape until a page says something, and return the one after it.

        A page is not of one moment: the VMs are later than what the exporter tells of itself.

        Args:
            reached: whether it does.
            what: the same for people.
            names: the metrics that this takes; all where there are none.
        """
        page = None
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    page = await self.scrape(*names)
                    if reached(page):
                        return await self.scrape()
                    await asyncio.sleep(0.005)
        except TimeoutError:
            shown = {k: v for k, v in page.samples.items() if v} if page else "nothing"
            found = f"{shown}"[:4096]
            raise AssertionError(f"waited {PATIENCE} s for {what}; found {found}") from None

    async def until_state(self, vm: str, state: str) -> Page:
        """Scrape until a VM's monitor is in a state."""
        return await self.until(
            lambda page: vm in page.vms() and page.state(vm) == state,
            f"{vm} to be {state}",
            "qemu_up",
            "qmp_exporter_target_state",
        )

    async def until_events(self, vm: str, number: int) -> Page:
        """Scrape until so many events of a VM are counted."""
        return await self.until(
            lambda page: sum(page.rows("qemu_events_total", vm=vm).values()) >= number,
            f"{number} events",
            "qemu_events_total",
        )


@asynccontextmanager
async def exporting(
    *where: FakeMonitor | Path | Target,
    timing: Timing = QUICK,
    tick: float = 0.02,
    **settings: Any,
) -> AsyncIterator[Exporter]:
    """Run an exporter of some monitors; fail if it leaves a task or a socket behind.

    Args:
        where: the monitors.
        timing: time limits towards them.
        tick: seconds between two looks at what only time changes.
        settings: others than the default ones.
    """
    targets = tuple(target(one) for one in where)
    settings.setdefault("process_metrics", False)
    found = Settings(targets, ("127.0.0.1:0",), **settings)
    async with nothing_left():
        with mock.patch.object(module, "TICK", tick):
            app = App(found, timing=timing)
            started = asyncio.Event()
            task = asyncio.create_task(app.run(started.set))
            try:
                await asyncio.wait_for(started.wait(), PATIENCE)
                timeout = aiohttp.ClientTimeout(total=PATIENCE)
                async with aiohttp.ClientSession(app.server.bound[0], timeout=timeout) as client:
                    yield Exporter(app, client)
            finally:
                task.cancel()
                await asyncio.wait((task,))
        assert task.cancelled()


def target(where: FakeMonitor | Path | Target) -> Target:
    """Return the target that is meant."""
    if isinstance(where, Target):
        return where
    if hasattr(where, "address"):
        return target_of(where)
    return Target(str(where))
