"""The exporter over real machines, and its page as a test reads it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeAlias

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from qmp_exporter.app import App
from qmp_exporter.config.settings import Settings
from qmp_exporter.demo import Machine, rfb
from qmp_exporter.model.target import Target
from qmp_exporter.qmp.timing import Timing


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


PATIENCE = 10.0
"""Seconds that the page may take to say what is expected; many times what it takes."""

INTERVAL = 0.01
"""Seconds between two scrapes."""

MUST_BE_ZERO = {
    "qmp_exporter_decode_errors_total",
    "qmp_exporter_label_overflows_total",
    "qmp_exporter_sink_errors_total",
}
"""What no machine of the lab may bring about."""

Series: TypeAlias = "tuple[str, frozenset[tuple[str, str]]]"
Key: TypeAlias = "str | tuple[str, ...]"


class Page:
    """One scrape.

    Attributes:
        text: as it came.
        samples: the value of every series.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples: dict[Series, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                series = sample.name, frozenset(sample.labels.items())
                assert series not in self.samples, f"twice on the page: {series}"
                self.samples[series] = sample.value

    def value(self, name: str, /, **labels: str) -> float | None:
        """Return the value of the one series with these labels; none where there is none."""
        found = [v for (n, has), v in self.samples.items() if n == name and labels.items() <= has]
        assert len(found) < 2, f"{name}: {len(found)} series have {labels}"
        return found[0] if found else None

    def sums(self, name: str) -> float:
        """Return the sum of all series of a metric."""
        return sum(value for (found, _), value in self.samples.items() if found == name)

    def rows(self, name: str, *by: str, vm: str = "vm", zero: bool = False) -> dict[Key, float]:
        """Return what a metric of a VM reads, by the values of these labels, without zeros."""
        found: dict[Key, float] = {}
        for (series, has), value in self.samples.items():
            labels = dict(has)
            if series == name and labels["vm"] == vm and (value or zero):
                values = tuple(labels[label] for label in by)
                key: Key = values[0] if len(values) == 1 else values
                assert key not in found, f"{name}: several series have {key}"
                found[key] = value
        return found

    def labels(self, name: str, label: str, vm: str = "vm") -> set[str]:
        """Return the values that a label has in the series of a metric, zero or not."""
        series = (dict(has) for found, has in self.samples if found == name)
        return {has[label] for has in series if has["vm"] == vm}

    def events(self, vm: str = "vm") -> set[Key]:
        """Return the names of the events that a VM has sent."""
        return set(self.rows("qemu_events_total", "event", vm=vm))

    def status(self, vm: str = "vm") -> Key | None:
        """Return the run state that a VM is shown in."""
        return self._present("qemu_vm_status", "status", vm)

    def target(self, vm: str = "vm") -> Key | None:
        """Return the state that a VM's monitor is shown in."""
        return self._present("qmp_exporter_target_state", "state", vm)

    def vms(self) -> set[str]:
        """Return the names of all VMs."""
        return {dict(labels)["vm"] for name, labels in self.samples if name == "qemu_up"}

    def _present(self, name: str, label: str, vm: str) -> Key | None:
        shown = self.rows(name, label, vm=vm)
        assert len(shown) < 2, f"{name}: {shown} at a time"
        return next(iter(shown), None)


class Exporter:
    """The application in the running loop, scraped over HTTP.

    Every scrape is checked for what must always hold: no counter falls while the exporter runs,
    no sink fails, no line of QEMU is refused and no limit is hit.

    Args:
        app: it runs.

    Attributes:
        forgets: whether counters may begin again, because a VM's grace is over.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self.forgets = False
        self._last: Page | None = None

    @property
    def url(self) -> str:
        """Where it serves."""
        return self.app.server.bound[0].rstrip("/")

    async def page(self) -> Page:
        """Scrape."""
        async with (
            aiohttp.ClientSession(raise_for_status=True) as client,
            client.get(f"{self.url}/metrics") as response,
        ):
            page = Page(await response.text())
        before, self._last = self._last, page
        for (name, labels), value in page.samples.items():
            if name.endswith("_total") and before is not None and not self.forgets:
                assert value >= before.samples.get((name, labels), 0.0), f"{name} {labels} fell"
            assert not (value and name in MUST_BE_ZERO), f"{name} {labels} {value}"
        return page

    async def reads(self, what: Callable[[Page], bool], expected: str = "", name: str = "") -> Page:
        """Scrape until something is true of the page, and return the one after it.

        A page is not of one moment: the VMs are later than what the exporter tells of itself.

        Args:
            what: what is to be true.
            expected: the same for people.
            name: what the lines begin with that are to be seen where it does not come true.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                async for page in self._pages():
                    if what(page):
                        return await self.page()
        lines = self._last.text.splitlines() if self._last else []
        shown = [line for line in lines if line.startswith(name)]
        pytest.fail("\n".join([f"expected {expected or what}, the page reads:", *shown]))

    async def until(self, name: str, value: object, /, **labels: str) -> Page:
        """Scrape until the one series with these labels has a value; return the next page."""
        expected = f"{name} {labels} {value}"
        return await self.reads(lambda page: page.value(name, **labels) == value, expected, name)

    async def rises(self, name: str, /, **labels: str) -> Page:
        """Scrape until a series is above 0: for what QEMU may send more than once, or merges."""
        expected = f"{name} {labels} above 0"
        return await self.reads(lambda page: bool(page.value(name, **labels)), expected, name)

    async def ready(self, *machines: Machine) -> Page:
        """Wait until the state of these machines is read and their migrations are announced."""
        asked = "qmp_exporter_command_duration_seconds_count"
        command = "query-migrate-capabilities"
        page = await self.until(asked, len(machines), command=command)
        for machine in machines:
            async with asyncio.timeout(PATIENCE):
                while not await announces_migrations(machine):
                    page = await self.page()
        return page

    async def _pages(self) -> AsyncIterator[Page]:
        while True:
            yield await self.page()
            await asyncio.sleep(INTERVAL)


async def announces_migrations(machine: Machine) -> bool:
    """Tell whether QEMU announces migrations, which the exporter asks it to do."""
    capabilities = await machine.execute("query-migrate-capabilities")
    return {"capability": "events", "state": True} in capabilities


async def screen(machine: Machine) -> rfb.Address:
    """Return where a VNC client finds the screen of a machine."""
    (server,) = (await machine.execute("query-vnc-servers"))[0]["server"]
    if server["family"] == "unix":
        return machine.directory / str(server["service"])
    return str(server["host"]), int(server["service"])


@asynccontextmanager
async def exporting(
    *monitors: Path, timing: Timing | None = None, **settings: object
) -> AsyncIterator[Exporter]:
    """Run the exporter over these monitors.

    Args:
        monitors: paths of unix sockets.
        timing: time limits towards them.
        settings: other members of ``Settings``.
    """
    targets = tuple(Target(str(path)) for path in monitors)
    given = {"targets": targets, "listen_addresses": ("127.0.0.1:0",), **settings}
    app = App(Settings(**given), timing=timing or Timing())  # type: ignore[arg-type]
    started = asyncio.Event()
    running = asyncio.create_task(app.run(started.set))
    try:
        async with asyncio.timeout(PATIENCE):
            await started.wait()
        yield Exporter(app)
    finally:
        running.cancel()
        await asyncio.wait((running,), timeout=PATIENCE)
    with pytest.raises(asyncio.CancelledError):
        running.result()


@asynccontextmanager
async def watched(directory: Path, *args: str) -> AsyncIterator[tuple[Machine, Exporter]]:
    """Run a machine with the exporter over it, which has read its state."""
    async with (
        Machine(directory, "vm", *args) as machine,
        exporting(machine.monitor) as exporter,
    ):
        await exporter.ready(machine)
        yield machine, exporter
