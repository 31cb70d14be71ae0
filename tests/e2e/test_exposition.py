"""The page as its readers take it: Prometheus' own linter, and the OpenMetrics format."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import asynccontextmanager
from errno import ENOSPC
from typing import TYPE_CHECKING

import aiohttp
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from e2e.page import Exporter, Page, screen, watched
from qmp_exporter.demo import devices, disks, operations, rfb
from support import require_tool


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def eventful(place: Path) -> AsyncIterator[Exporter]:
    """Run a machine to which a lot has happened, so that nearly every metric has a sample."""
    arguments = (
        *disks.ide_disk("disk0", disks.Fault("write", ENOSPC), werror="enospc"),
        *disks.quorum_disk(place, "vm", contents=(1, 0, 0)),
        *devices.WATCHDOG,
        *devices.PVPANIC,
        *devices.BALLOON,
        *devices.serial_port("agent"),
        *("-vnc", "unix:vm.vnc"),
    )
    async with watched(place, *arguments) as (machine, exporter):
        await disks.quorum_io(machine, "read")
        await devices.fire_watchdog(machine, "none")
        await devices.change_rtc(machine, 2030)
        await devices.set_balloon_actual(machine, 4096)
        await devices.open_serial_port(machine, opened=True)
        await operations.migrate(machine)
        await machine.until("postmigrate")
        await machine.execute("cont")
        await operations.dump(machine)
        await exporter.until("qemu_vm_resumes_total", 2)
        await disks.write(machine, 8)
        await exporter.until("qemu_vm_stops_total", 1, cause="io-error")
        async with rfb.viewer(await screen(machine)):
            await exporter.until("qemu_display_sessions", 1)
            yield exporter


async def test_promtool_has_nothing_to_say(place: Path) -> None:
    """Prometheus' linter finds nothing to complain about in a page full of events."""
    promtool = require_tool("promtool")
    async with eventful(place) as exporter:
        page = await exporter.page()
    assert page.events() >= {"QUORUM_REPORT_BAD", "WATCHDOG", "VSERPORT_CHANGE", "VNC_CONNECTED"}
    told = await asyncio.to_thread(check, promtool, page)
    assert (told.stdout, told.stderr, told.returncode) == ("", "", 0)


def check(promtool: str, page: Page) -> subprocess.CompletedProcess[str]:
    """Let promtool read a page."""
    command = (promtool, "check", "metrics")
    return subprocess.run(command, input=page.text, capture_output=True, text=True, check=False)


async def test_openmetrics_says_the_same(place: Path) -> None:
    """In OpenMetrics the series are the same, and a strict reader takes them."""
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with eventful(place) as exporter, aiohttp.ClientSession(headers=accept) as client:
        async with client.get(f"{exporter.url}/metrics") as response:
            assert response.content_type == "application/openmetrics-text"
            text = await response.text()
        page = await exporter.page()
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    series = {(s.name, frozenset(s.labels.items())) for family in families for s in family.samples}
    assert series == page.samples.keys()


async def test_landing_page(place: Path) -> None:
    """The page for people shows the VM, in what state it is, and what happened last."""
    async with eventful(place) as exporter, aiohttp.ClientSession() as client:
        async with client.get(exporter.url) as response:
            assert response.content_type == "text/html"
            text = await response.text()
        for word in ("vm.qmp", "io-error", "VNC_INITIALIZED"):
            assert word in text
