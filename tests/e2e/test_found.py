"""A machine to which things happened before the exporter came.

What can be read is shown at once; what was not seen is not counted.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from errno import EIO, ENOSPC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from e2e.lab.generation import on_qemu
from e2e.page import Exporter, exporting, screen
from qmp_exporter.demo import Machine, devices, disks, operations, rfb
from witness import listening


if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def found(machine: Machine) -> AsyncIterator[Exporter]:
    """Run the exporter over a machine, and make sure that it has counted nothing."""
    async with exporting(machine.monitor) as exporter:
        page = await exporter.ready(machine)
        assert page.events() == set()
        assert page.rows("qemu_vm_stops_total", "cause") == {}
        yield exporter


async def ticking(exporter: Exporter) -> set[Any]:
    """Return the causes for which a machine is counted as stopped at present."""
    before = (await exporter.page()).rows("qemu_vm_stopped_seconds_total", "cause", zero=True)
    await asyncio.sleep(0.05)
    after = (await exporter.page()).rows("qemu_vm_stopped_seconds_total", "cause", zero=True)
    return {cause for cause in after if after[cause] > before[cause]}


async def test_running(place: Path) -> None:
    """A machine that runs is shown so, with who it is and since when it runs."""
    uuid = "5eb00000-0000-4000-8000-000000000001"
    async with Machine(place, "vm", uuid=uuid) as machine, found(machine) as exporter:
        page = await exporter.page()
        assert (page.value("qemu_up"), page.status(), page.target()) == (1, "running", "connected")
        assert page.value("qemu_vm_info", uuid=uuid, name="vm", arch="x86_64") == 1
        assert page.value("qemu_vm_info", monitor=str(machine.monitor)) == 1
        began = page.value("qemu_process_start_time_seconds")
        assert began == pytest.approx(started(machine.pid), abs=1)
        assert await ticking(exporter) == set()


@on_qemu(since=(11, 1), why="before QEMU 11.1 a running QEMU takes no new monitor")
async def test_monitor_that_a_running_qemu_was_given(place: Path) -> None:
    """The lines of docs/platforms.md: a machine is watched without a restart."""
    text = (Path(__file__).parents[2] / "docs/platforms.md").read_text()
    lines = [line.strip() for line in text.splitlines()]
    commands = [json.loads(line) for line in lines if line.startswith('{"execute"')]
    path = place / "late.qmp"
    async with Machine(place, "vm") as machine:
        for command in commands:
            arguments = json.dumps(command["arguments"]).replace("/run/qemu/web.qmp", str(path))
            await machine.execute(command["execute"], **json.loads(arguments))
        assert [command["execute"] for command in commands] == ["chardev-add", "object-add"]
        async with exporting(path) as exporter:
            await exporter.until("qemu_vm_running", 1)
            await machine.execute("stop")
            page = await exporter.until("qemu_vm_stops_total", 1, cause="host")
            assert page.value("qemu_vm_info", monitor=str(path)) == 1
    path.unlink()


def started(pid: int) -> float:
    """Return when a process started, in Unix seconds, as its entry in /proc is dated."""
    return Path(f"/proc/{pid}").stat().st_ctime


async def test_paused(place: Path) -> None:
    """A machine that an operator has paused is; the seconds count from when it was found."""
    async with Machine(place, "vm") as machine:
        await machine.execute("stop")
        async with found(machine) as exporter:
            assert (await exporter.page()).status() == "paused"
            assert await ticking(exporter) == {"host"}
            await machine.execute("cont")
            page = await exporter.until("qemu_vm_running", 1)
            assert page.rows("qemu_vm_stops_total", "cause") == {}
            assert await ticking(exporter) == set()


async def test_panicked(place: Path) -> None:
    """A machine that stands still after a panic is shown so, and no panic is counted."""
    async with Machine(place, "vm", *devices.PVPANIC) as machine:
        await devices.panic(machine)
        await machine.until("guest-panicked")
        async with found(machine) as exporter:
            assert (await exporter.page()).status() == "guest-panicked"
            assert await ticking(exporter) == {"guest-panic"}


NOT_STARTED = [(["-S"], "prelaunch"), (["-incoming", "defer"], "inmigrate")]


@pytest.mark.parametrize(("args", "status"), NOT_STARTED)
async def test_not_started(place: Path, args: list[str], status: str) -> None:
    """A machine that has not begun to run is not counted as stopped."""
    async with Machine(place, "vm", *args) as machine, found(machine) as exporter:
        assert (await exporter.page()).status() == status
        assert await ticking(exporter) == set()


@pytest.mark.parametrize(("errno", "state"), [(EIO, "failed"), (ENOSPC, "nospace")])
async def test_stopped_by_a_disk(place: Path, errno: int, state: str) -> None:
    """A machine stopped by a disk is shown with that disk; no error is counted."""
    werror: Any = "stop" if errno == EIO else "enospc"
    disk = disks.ide_disk("disk0", disks.Fault("write", errno), werror=werror)
    async with Machine(place, "vm", *disk) as machine:
        await disks.write(machine, 8)
        await machine.until("io-error")
        async with found(machine) as exporter:
            page = await exporter.page()
            assert page.rows("qemu_block_io_status", "device", "status") == {("disk0", state): 1}
            assert page.rows("qemu_block_io_errors_total", "device") == {}
            assert await ticking(exporter) == {"io-error"}
            await disks.repair(machine, "disk0")
            await machine.execute("cont")
            page = await exporter.until("qemu_vm_running", 1)
            assert page.rows("qemu_block_io_status", "device", "status") == {("disk0", "ok"): 1}


async def test_disk_that_was_in_error(place: Path) -> None:
    """An error from which the machine went on is over, though QEMU may still remember it."""
    disk = disks.ide_disk("disk0", disks.Fault("read", EIO), rerror="stop")
    async with Machine(place, "vm", *disk) as machine:
        await disks.read(machine, 8)
        await machine.until("io-error")
        await disks.repair(machine, "disk0")
        await machine.execute("cont")
        await machine.until("running")
        async with found(machine) as exporter:
            page = await exporter.page()
            assert page.rows("qemu_block_io_status", "device", "status") == {("disk0", "ok"): 1}


@pytest.mark.parametrize("address", ["unix:vm.vnc", "127.0.0.1:0,to=99"])
async def test_viewers(place: Path, address: str) -> None:
    """Viewers who are there are shown and seen to leave; nobody is counted as having come."""
    async with Machine(place, "vm", "-vnc", address) as machine:
        where = await screen(machine)
        async with rfb.viewer(where), AsyncExitStack() as stack:
            exporter = None
            async with rfb.viewer(where):
                exporter = await stack.enter_async_context(found(machine))
                page = await exporter.page()
                assert page.value("qemu_display_connections", protocol="vnc") == 2
                assert page.value("qemu_display_sessions", protocol="vnc") == 2
            page = await exporter.until("qemu_display_sessions", 1, protocol="vnc")
            assert page.value("qemu_display_connections", protocol="vnc") == 1
            for counter in ("connects", "logins", "incomplete_connects"):
                assert page.rows(f"qemu_display_{counter}_total", "protocol") == {}


async def test_migrated(place: Path) -> None:
    """A machine that has moved away is shown so, with its migration, which is not counted."""
    async with Machine(place, "vm") as machine:
        assert await operations.migrate(machine) == "completed"
        await machine.until("postmigrate")
        async with found(machine) as exporter:
            page = await exporter.page()
            assert page.status() == "postmigrate"
            assert page.rows("qemu_migration_status", "status") == {"completed": 1}
            assert page.rows("qemu_migrations_total", "role", "outcome") == {}
            downtime = page.value("qemu_migration_last_downtime_seconds")
            assert downtime is not None
            assert 0 <= downtime < 10
            assert (page.value("qemu_migration_last_transferred_bytes") or 0) > 0
            assert page.value("qemu_migration_last_duration_seconds") is None
            assert await ticking(exporter) == set()


async def test_balloon(place: Path) -> None:
    """The guest's memory is shown as it is, the balloon taken off."""
    async with Machine(place, "vm", *devices.BALLOON) as machine:
        await devices.set_balloon_actual(machine, 4096)
        async with exporting(machine.monitor) as exporter:
            page = await exporter.until("qemu_balloon_actual_bytes", 48 << 20)
            assert page.events() <= {"BALLOON_CHANGE"}


async def test_monitor_in_use(place: Path) -> None:
    """A monitor with another client is left alone, and watched once that client has left."""
    monitor = f"unix:{place / 'vm.qmp'},server=on,wait=off"
    async with Machine(place, "vm", monitor=monitor) as machine, AsyncExitStack() as stack:
        async with listening(machine) as ear:
            exporter = await stack.enter_async_context(exporting(machine.monitor))
            page = await exporter.until("qmp_exporter_target_state", 1, state="busy")
            assert page.value("qemu_up") == 0
            await machine.execute("stop")
            await ear.hear("STOP")
            # One that listens and one that is served: nobody was left to wait.
            assert sockets(machine.monitor) == ["01", "03"]
        page = await exporter.until("qemu_up", 1)
        assert page.rows("qmp_exporter_connects_total", "vm") == {"vm": 1}
        assert (page.value("qmp_exporter_unobserved_seconds_total") or 0) > 0


def sockets(path: Path) -> list[str]:
    """Return the states of the sockets of a path, as the kernel shows them."""
    table = Path("/proc/net/unix").read_text().splitlines()
    return sorted(line.split()[5] for line in table if line.endswith(f" {path}"))
