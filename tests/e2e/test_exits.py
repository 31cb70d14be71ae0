"""The end of a QEMU, of a connection, and what begins after it."""

from __future__ import annotations

import signal
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from e2e.lab.power import sleep
from e2e.page import Page, exporting, watched
from qmp_exporter.demo import Machine, devices, operations
from qmp_exporter.qmp.timing import Timing


if TYPE_CHECKING:
    from pathlib import Path


ENDS: dict[str, Any] = {
    "crash": Machine.kill,
    "host-quit": Machine.quit,
    "signal": Machine.terminate,
    "guest-shutdown": partial(sleep, kind="off"),
    "watchdog": partial(devices.fire_watchdog, action="poweroff"),
}


def exits(page: Page, vm: str = "vm") -> dict[Any, float]:
    """Return the ends of a VM's process by cause."""
    return page.rows("qemu_vm_exits_total", "cause", vm=vm)


@pytest.mark.parametrize("cause", ENDS)
async def test_end(place: Path, cause: str) -> None:
    """The end of QEMU counts once by its cause, and at once nothing is shown as running."""
    async with watched(place, *devices.WATCHDOG) as (machine, exporter):
        await ENDS[cause](machine)
        page = await exporter.reads(lambda page: bool(exits(page)))
        assert exits(page) == {cause: 1}
        # A watchdog ends QEMU 7.2 so suddenly that it leaves its socket behind, as a crash does.
        left = {"crash": {"refused"}, "watchdog": {"refused", "gone"}}
        assert page.target() in left.get(cause, {"gone"})
        assert (page.value("qemu_up"), page.value("qemu_vm_running")) == (0, 0)
        assert page.status() is None
        assert page.value("qemu_process_start_time_seconds") is None
        assert page.rows("qmp_exporter_disconnects_total", "reason").keys() <= {"eof", "reset"}
        assert page.value("qmp_exporter_fleet_exits_total", cause=cause) == 1


async def test_shutdown_from_which_the_machine_came_back(place: Path) -> None:
    """A shutdown that QEMU survived, and the guest too, is not the cause of a later end."""
    async with watched(place, "-no-shutdown") as (machine, exporter):
        await sleep(machine, "off")
        await exporter.until("qemu_vm_stops_total", 1, cause="guest-shutdown")
        await machine.execute("system_reset")
        await machine.execute("cont")
        await exporter.until("qemu_vm_running", 1)
        await machine.kill()
        page = await exporter.reads(lambda page: bool(exits(page)))
        assert exits(page) == {"crash": 1}


@pytest.mark.parametrize("end", [Machine.quit, Machine.kill])
async def test_new_process_on_the_same_path(place: Path, end: Any) -> None:
    """A VM that is started again keeps its counters; what only the old process knew is gone."""
    async with watched(place, *devices.CLOCK) as (machine, exporter):
        await devices.change_rtc(machine, 2030)
        await operations.dump(machine)
        await exporter.until("qemu_dumps_total", 1, status="completed")
        await exporter.until("qemu_vm_resumes_total", 1)
        await machine.execute("stop")
        page = await exporter.until("qemu_vm_stops_total", 1, cause="host")
        assert (page.value("qemu_rtc_offset_seconds") or 0) > 0
        assert (page.value("qemu_dump_size_bytes") or 0) > 0
        stops = page.rows("qemu_vm_stops_total", "cause")
        before = page.value("qemu_process_start_time_seconds")
        await end(machine)
        await machine.start()
        page = await exporter.until("qmp_exporter_connects_total", 2)
        assert len(exits(page)) == 1
        page = await exporter.until("qemu_vm_status", 1, status="running")
        assert page.rows("qemu_vm_stops_total", "cause") == stops
        assert page.value("qemu_dumps_total", status="completed") == 1
        assert page.value("qemu_rtc_offset_seconds") is None
        assert page.value("qemu_dump_size_bytes") is None
        assert page.value("qemu_process_start_time_seconds") > before  # type: ignore[operator]
        seconds = page.rows("qemu_vm_stopped_seconds_total", "cause")
        assert "host" in seconds
        assert (await exporter.page()).rows("qemu_vm_stopped_seconds_total", "cause") == seconds
        await machine.execute("stop")
        await exporter.until("qemu_vm_stops_total", 2, cause="host")


async def test_every_end_counts(place: Path) -> None:
    """A VM that crashes again and again is seen each time, however fast it is started again."""
    async with watched(place) as (machine, exporter):
        for times in (1, 2, 3):
            await machine.kill()
            await machine.start()
            await exporter.until("qmp_exporter_connects_total", times + 1)
        assert exits(await exporter.page()) == {"crash": 3}


async def test_exporter_is_first(place: Path) -> None:
    """An exporter that is there before its VM waits for it; the VM's name replaces the socket's."""
    machine = Machine(place, "vm", "-name", "web01")
    async with exporting(machine.monitor) as exporter:
        page = await exporter.until("qmp_exporter_target_state", 1, state="gone")
        assert (page.vms(), page.value("qemu_up")) == ({"vm"}, 0)
        async with machine:
            page = await exporter.until("qemu_up", 1)
            assert page.vms() == {"web01"}
            assert exits(page, "web01") == {}
            assert page.rows("qmp_exporter_connects_total", "vm", vm="web01") == {"web01": 1}


async def test_exporter_stops_and_starts(place: Path) -> None:
    """The end of the exporter is no end of a VM: the next one finds it as it was."""
    async with Machine(place, "vm") as machine:
        for status in ("running", "paused"):
            async with exporting(machine.monitor) as exporter:
                page = await exporter.ready(machine)
                assert (page.value("qemu_up"), page.status()) == (1, status)
                assert exits(page) == {}
                await machine.execute("stop")
        assert machine.running


async def test_lost_connection(place: Path, wire: list[socket.socket]) -> None:
    """A connection that is lost is made again; the VM is the same, and its stop is too."""
    async with watched(place, *devices.CLOCK) as (machine, exporter):
        await devices.change_rtc(machine, 2030)
        await machine.execute("stop")
        await exporter.until("qemu_vm_stops_total", 1, cause="host")
        await exporter.rises("qemu_rtc_offset_seconds")
        (connection,) = wire
        connection.shutdown(socket.SHUT_RDWR)
        await exporter.until("qmp_exporter_connects_total", 2)
        page = await exporter.until("qemu_vm_status", 1, status="paused")
        assert exits(page) == {}
        assert sum(page.rows("qmp_exporter_disconnects_total", "reason").values()) == 1
        assert page.rows("qemu_vm_stops_total", "cause") == {"host": 1}
        assert (page.value("qmp_exporter_unobserved_seconds_total") or 0) > 0
        assert (page.value("qemu_rtc_offset_seconds") or 0) > 0


async def test_series_after_the_end(place: Path) -> None:
    """After the grace all that is left of a VM is that it is not up, until it is back."""
    async with (
        Machine(place, "vm") as machine,
        exporting(machine.monitor, vm_grace=0.2) as exporter,
    ):
        await exporter.ready(machine)
        await machine.quit()
        await exporter.until("qemu_vm_exits_total", 1, cause="host-quit")
        exporter.forgets = True
        page = await exporter.reads(lambda page: not page.labels("qemu_vm_exits_total", "vm"))
        assert (page.value("qemu_up"), page.target()) == (0, "gone")
        assert page.labels("qemu_events_total", "vm") == set()
        assert page.value("qmp_exporter_fleet_exits_total", cause="host-quit") == 1
        await machine.start()
        page = await exporter.until("qemu_up", 1)
        assert page.value("qemu_vm_exits_total", cause="host-quit") == 0


async def test_qemu_that_hangs(place: Path) -> None:
    """A QEMU that does not answer is not up, though connected; when it answers it is again."""
    timing = Timing(quiet=0.2, unresponsive=0.2)
    async with (
        Machine(place, "vm") as machine,
        exporting(machine.monitor, timing=timing) as exporter,
    ):
        await exporter.ready(machine)
        machine.signal(signal.SIGSTOP)
        page = await exporter.until("qmp_exporter_target_state", 1, state="unresponsive")
        assert page.value("qemu_up") == 0
        assert page.status() == "running"
        assert page.value("qmp_exporter_targets", state="unresponsive") == 1
        machine.signal(signal.SIGCONT)
        page = await exporter.until("qemu_up", 1)
        assert page.target() == "connected"
        assert exits(page) == {}
        assert page.rows("qmp_exporter_disconnects_total", "reason") == {}
        assert page.value("qmp_exporter_connects_total") == 1
        await machine.execute("stop")
        await exporter.until("qemu_vm_stops_total", 1, cause="host")


async def test_shutdown_that_the_manager_completes(place: Path) -> None:
    """As under libvirt: the guest powers off, QEMU stays (-no-shutdown), and is ended then."""
    machine = Machine(place, "vm", "-no-shutdown")
    async with machine, exporting(machine.monitor) as exporter:
        await exporter.ready(machine)
        await sleep(machine, "off")
        await machine.until("shutdown")
        await machine.terminate()
        page = await exporter.until("qmp_exporter_target_state", 1, state="gone")
        assert exits(page) == {"guest-shutdown": 1}
        assert page.rows("qemu_vm_stops_total", "cause") == {"guest-shutdown": 1}
