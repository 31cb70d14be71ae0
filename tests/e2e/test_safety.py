"""What reaches a real QEMU: commands of a short list, whatever happens and whoever asks."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from errno import EIO
from typing import TYPE_CHECKING

import aiohttp

from e2e.page import Exporter, exporting, screen
from qmp_exporter.demo import Machine, devices, disks, operations, rfb
from recorder import Recorder


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


ALL = {
    "qmp_capabilities",
    "query-name",
    "query-uuid",
    "query-target",
    "query-status",
    "query-block",
    "query-migrate",
    "query-vnc-servers",
    "query-spice",
    "query-balloon",
    "query-jobs",
    "query-blockstats",
    "query-migrate-capabilities",
    "migrate-set-capabilities",
}
"""Every command that is ever sent. The proxy has this list too, with the arguments."""

ONCE = {"qmp_capabilities", "migrate-set-capabilities"}
"""Those of them that do anything: to the connection, and to the announcing of migrations."""


def commands(recorder: Recorder) -> list[str]:
    """Return the names of the commands that were sent; the proxy has looked at all the rest."""
    return re.findall(r'"execute": ?"([^"]*)"', recorder.sent.decode())


@asynccontextmanager
async def between(machine: Machine) -> AsyncIterator[tuple[Exporter, Recorder]]:
    """Run the exporter over a machine with a proxy between, which fails for what is not listed."""
    front = machine.directory / "front"
    async with Recorder(front, machine.monitor) as recorder, exporting(front) as exporter:
        await exporter.ready(machine)
        yield exporter, recorder


async def test_every_byte_sent_is_on_the_list(place: Path) -> None:
    """Through stops, errors, resets, viewers, a migration and a new process: only the list."""
    arguments = (
        *disks.ide_disk("disk0", disks.Fault("read", EIO), rerror="stop"),
        *devices.WATCHDOG,
        *devices.PVPANIC,
        *("-vnc", "unix:vm.vnc"),
    )
    async with (
        Machine(place, "vm", *arguments) as machine,
        between(machine) as (exporter, recorder),
    ):
        await disks.read(machine, 8)
        await exporter.until("qemu_vm_stops_total", 1, cause="io-error")
        await disks.repair(machine, "disk0")
        await machine.execute("cont")
        await devices.panic(machine)
        await exporter.until("qemu_vm_stops_total", 1, cause="guest-panic")
        await machine.execute("system_reset")
        await exporter.until("qemu_vm_status", 1, status="prelaunch")
        await machine.execute("cont")
        await devices.fire_watchdog(machine, "pause")
        await exporter.until("qemu_vm_stops_total", 1, cause="watchdog")
        await machine.execute("cont")
        async with rfb.viewer(await screen(machine)):
            await rfb.probe(await screen(machine))
            await exporter.until("qemu_display_incomplete_connects_total", 1)
        await operations.migrate(machine)
        await exporter.rises("qemu_migration_last_transferred_bytes")
        await operations.dump(machine)
        await exporter.until("qemu_dumps_total", 1, status="completed")
        await machine.kill()
        await machine.start()
        await exporter.until("qmp_exporter_connects_total", 2)
        await exporter.until("qemu_vm_running", 1)
        sent = commands(recorder)
    assert set(sent) == ALL
    for command in ONCE:
        assert sent.count(command) <= 2, "once a connection"


async def test_what_http_clients_send_goes_no_further(place: Path) -> None:
    """Scrapes, pages and attempts of all kinds leave every monitor alone."""
    async with Machine(place, "vm") as machine, between(machine) as (exporter, recorder):
        before = bytes(recorder.sent)
        async with aiohttp.ClientSession(exporter.url) as client:
            for path in ("/", "/metrics", "/-/healthy", "/-/ready", "/-/reload", "/quit", "/stop"):
                for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
                    async with client.request(method, path, data=b'{"execute": "quit"}') as reply:
                        assert reply.status < 500
            names = {"name[]": '{"execute": "quit"}', "vm": "vm", "target": str(machine.monitor)}
            async with client.get("/metrics", params=names) as reply:
                assert reply.status == 200
        await exporter.page()
        assert bytes(recorder.sent) == before
        assert await machine.status() == "running"


async def test_no_migration_events(place: Path) -> None:
    """Told not to, the exporter changes nothing in a VM at all."""
    async with Machine(place, "vm") as machine:
        front = place / "front"
        async with Recorder(front, machine.monitor) as recorder:
            async with exporting(front, migration_events=False) as exporter:
                await exporter.until(
                    "qmp_exporter_command_duration_seconds_count", 1, command="query-spice"
                )
                await machine.execute("stop")
                await exporter.until("qemu_vm_stops_total", 1, cause="host")
            sent = commands(recorder)
        assert set(sent) == ALL - {"query-migrate-capabilities", "migrate-set-capabilities"}
        capabilities = await machine.execute("query-migrate-capabilities")
        assert {"capability": "events", "state": False} in capabilities
