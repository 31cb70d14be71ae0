"""What happens to a machine, and what the scraped page reads of it: run states and devices.

QEMU merges some events that come within a second, and firmware resets more than once: numbers are
asserted of what comes exactly once only.
"""

from __future__ import annotations

import asyncio
from time import monotonic, time
from typing import TYPE_CHECKING, Any, get_args

import pytest

from e2e.lab.generation import on_qemu, shows
from e2e.lab.memory import eject_in_vain
from e2e.lab.power import sleep
from e2e.page import Page, watched
from qmp_exporter.demo import devices, disks, operations


if TYPE_CHECKING:
    from pathlib import Path


# Run states


@shows("STOP", "RESUME")
async def test_operators_pause(place: Path) -> None:
    """A stop counts as the host's doing; its seconds run until the VM goes on, and not after."""
    async with watched(place) as (machine, exporter):
        began = monotonic()
        await machine.execute("stop")
        page = await exporter.until("qemu_vm_stops_total", 1, cause="host")
        assert (page.status(), page.value("qemu_vm_running")) == ("paused", 0)
        seen = monotonic()
        await asyncio.sleep(0.2)
        least = monotonic() - seen
        await machine.execute("cont")
        page = await exporter.until("qemu_vm_resumes_total", 1)
        most = monotonic() - began
        assert (page.status(), page.value("qemu_vm_running")) == ("running", 1)
        stopped = page.rows("qemu_vm_stopped_seconds_total", "cause")
        assert stopped == {"host": pytest.approx((least + most) / 2, abs=(most - least) / 2)}
        assert (await exporter.page()).rows("qemu_vm_stopped_seconds_total", "cause") == stopped
        assert page.rows("qemu_vm_stops_total", "cause") == {"host": 1}
        assert page.rows("qemu_events_total", "event") == {"STOP": 1, "RESUME": 1}


async def test_events_are_stamped_by_qemu(place: Path) -> None:
    """The newest event's time is the one at which it happened."""
    async with watched(place) as (machine, exporter):
        assert (await exporter.page()).value("qemu_last_event_timestamp_seconds") is None
        before = time()
        await machine.execute("stop")
        after = time()
        page = await exporter.until("qemu_vm_stops_total", 1, cause="host")
        stamp = page.value("qemu_last_event_timestamp_seconds")
        assert stamp is not None
        assert before - 0.01 <= stamp <= after + 0.01


@shows("RESET")
async def test_reset(place: Path) -> None:
    """A reset counts by its reason, and as a reboot that the guest did not want."""
    async with watched(place) as (machine, exporter):
        await machine.execute("system_reset")
        page = await exporter.rises("qemu_vm_reboots_total", guest="false")
        assert set(page.rows("qemu_vm_resets_total", "reason", "guest")) == {
            ("host-qmp-system-reset", "false")
        }
        assert page.status() == "running"


async def test_reset_of_a_stopped_machine(place: Path) -> None:
    """A reset sets a stopped machine back to its beginning, of which QEMU sends no event."""
    async with watched(place, *devices.PVPANIC) as (machine, exporter):
        await devices.panic(machine)
        await exporter.until("qemu_vm_status", 1, status="guest-panicked")
        await machine.execute("system_reset")
        assert await machine.status() == "prelaunch"
        page = await exporter.until("qemu_vm_status", 1, status="prelaunch")
        stopped = page.rows("qemu_vm_stopped_seconds_total", "cause")
        assert set(stopped) == {"guest-panic"}
        assert (await exporter.page()).rows("qemu_vm_stopped_seconds_total", "cause") == stopped
        await machine.execute("cont")
        await exporter.until("qemu_vm_running", 1)


@shows("SHUTDOWN", "STOP")
async def test_guest_shuts_down(place: Path) -> None:
    """A guest that powers off counts as such; with -no-shutdown QEMU stays, and is stopped."""
    async with watched(place, "-no-shutdown") as (machine, exporter):
        await sleep(machine, "off")
        page = await exporter.until("qemu_vm_stops_total", 1, cause="guest-shutdown")
        assert page.rows("qemu_vm_shutdowns_total", "reason", "guest") == {
            ("guest-shutdown", "true"): 1
        }
        assert (page.status(), page.value("qemu_up")) == ("shutdown", 1)
        assert page.rows("qemu_vm_exits_total", "cause") == {}
        assert page.rows("qemu_vm_stops_total", "cause") == {"guest-shutdown": 1}


ASLEEP = [
    pytest.param("memory", marks=shows("SUSPEND", "WAKEUP")),
    pytest.param("disk", marks=shows("SUSPEND_DISK")),
]


@pytest.mark.parametrize("kind", ASLEEP)
async def test_guest_sleeps(place: Path, kind: Any) -> None:
    """A guest that goes to sleep counts by where it keeps its state; sleep is no stop."""
    async with watched(place, "-no-shutdown") as (machine, exporter):
        await sleep(machine, kind)
        page = await exporter.until("qemu_vm_suspends_total", 1, state=kind)
        if kind == "memory":
            assert (page.status(), page.value("qemu_vm_running")) == ("suspended", 0)
            assert page.rows("qemu_vm_stops_total", "cause") == {}
            await machine.execute("system_wakeup")
            page = await exporter.until("qemu_vm_wakeups_total", 1)
            assert (page.status(), page.value("qemu_vm_running")) == ("running", 1)


@shows("POWERDOWN")
async def test_powerdown(place: Path) -> None:
    """The power button is a request: counted, and nothing else."""
    async with watched(place) as (machine, exporter):
        await machine.execute("system_powerdown")
        page = await exporter.until("qemu_vm_powerdown_requests_total", 1)
        assert page.events() == {"POWERDOWN"}
        assert page.status() == "running"


# Panic and watchdog


@shows("GUEST_PANICKED", "STOP")
async def test_panic_that_pauses(place: Path) -> None:
    """A panic stops the machine, which is the panic's doing until a reset lets it go on."""
    async with watched(place, *devices.PVPANIC) as (machine, exporter):
        await devices.panic(machine)
        page = await exporter.until("qemu_vm_stops_total", 1, cause="guest-panic")
        assert page.rows("qemu_guest_panics_total", "action", "kind") == {("pause", "unknown"): 1}
        assert page.status() == "guest-panicked"
        await machine.execute("system_reset")
        await machine.execute("cont")
        page = await exporter.until("qemu_vm_running", 1)
        assert set(page.rows("qemu_vm_stopped_seconds_total", "cause")) == {"guest-panic"}
        assert page.rows("qemu_vm_stops_total", "cause") == {"guest-panic": 1}


async def test_panic_that_does_nothing(place: Path) -> None:
    """A panic with action none leaves the machine running, and none of them is lost."""
    async with watched(place, *devices.PVPANIC) as (machine, exporter):
        await devices.set_action(machine, panic="none")
        for _ in range(3):
            await devices.panic(machine)
        page = await exporter.until("qemu_guest_panics_total", 3, action="run", kind="unknown")
        assert page.events() == {"GUEST_PANICKED"}
        assert page.status() == "running"


@pytest.mark.parametrize("action", ["shutdown", "exit-failure"])
async def test_panic_that_ends_qemu(place: Path, action: Any) -> None:
    """A panic may end QEMU: the exit is the panic's doing, whatever its exit status."""
    async with watched(place, *devices.PVPANIC) as (machine, exporter):
        await devices.set_action(machine, panic=action)
        await devices.panic(machine)
        page = await exporter.until("qemu_vm_exits_total", 1, cause="panic")
        panics = page.rows("qemu_guest_panics_total", "action", "kind")
        assert panics == {("poweroff", "unknown"): 1}
        assert page.rows("qemu_vm_exits_total", "cause") == {"panic": 1}
        assert page.value("qemu_vm_shutdowns_total", reason="guest-panic") == 1


@shows("GUEST_CRASHLOADED")
async def test_crash_kernel(place: Path) -> None:
    """A guest that loads its crash kernel is counted, and runs on."""
    async with watched(place, *devices.PVPANIC) as (machine, exporter):
        await devices.crashload(machine)
        page = await exporter.until("qemu_guest_crashloads_total", 1, action="run")
        assert page.rows("qemu_guest_panics_total", "action", "kind") == {}
        assert page.status() == "running"


def after_reset(page: Page) -> bool:
    """The machine was reset and runs."""
    rows = page.rows("qemu_vm_resets_total", "reason")
    return set(rows) == {"guest-reset"} and page.status() == "running"


def after_shutdown(page: Page) -> bool:
    """The guest was asked to power down, which is no shutdown."""
    asked = page.value("qemu_vm_powerdown_requests_total") == 1
    return asked and not page.rows("qemu_vm_shutdowns_total", "reason")


def after_poweroff(page: Page) -> bool:
    """QEMU has ended, and the watchdog did it."""
    exits = page.rows("qemu_vm_exits_total", "cause")
    return exits == {"watchdog": 1} and page.value("qemu_up") == 0


def after_pause(page: Page) -> bool:
    """The machine is stopped, and the watchdog did it."""
    stops = page.rows("qemu_vm_stops_total", "cause")
    return stops == {"watchdog": 1} and page.status() == "watchdog"


def after_nothing(page: Page) -> bool:
    """The machine runs as if nothing had happened."""
    return page.events() == {"WATCHDOG"} and page.status() == "running"


AFTER_WATCHDOG = {
    "reset": after_reset,
    "shutdown": after_shutdown,
    "poweroff": after_poweroff,
    "pause": after_pause,
    "debug": after_nothing,
    "none": after_nothing,
    "inject-nmi": after_nothing,
}


@pytest.mark.parametrize("action", get_args(devices.WatchdogAction))
@shows("WATCHDOG")
async def test_watchdog(place: Path, action: devices.WatchdogAction) -> None:
    """A watchdog that fires counts by its action, and so does what the action does."""
    async with watched(place, *devices.WATCHDOG) as (machine, exporter):
        await devices.fire_watchdog(machine, action)
        await exporter.until("qemu_watchdog_actions_total", 1, action=action)
        page = await exporter.reads(AFTER_WATCHDOG[action])
        assert page.rows("qemu_watchdog_actions_total", "action") == {action: 1}


# Devices


@shows("RTC_CHANGE")
async def test_clock(place: Path) -> None:
    """A guest that sets its clock ahead is so many seconds ahead."""
    async with watched(place, *devices.CLOCK) as (machine, exporter):
        assert (await exporter.page()).value("qemu_rtc_offset_seconds") is None
        await devices.change_rtc(machine, 2030)
        page = await exporter.reads(lambda page: "RTC_CHANGE" in page.events())
        decade = 10 * 365.25 * 86400
        assert page.value("qemu_rtc_offset_seconds") == pytest.approx(decade, rel=1e-3)


@shows("BALLOON_CHANGE")
async def test_balloon(place: Path) -> None:
    """The guest's memory is known from the start, and follows what the guest gives and takes."""
    async with watched(place, *devices.BALLOON) as (machine, exporter):
        await exporter.until("qemu_balloon_actual_bytes", 64 << 20)
        await devices.set_balloon_actual(machine, 4096)
        await exporter.until("qemu_balloon_actual_bytes", 48 << 20)
        await devices.set_balloon_actual(machine, 0)
        page = await exporter.until("qemu_balloon_actual_bytes", 64 << 20)
        assert page.events() == {"BALLOON_CHANGE"}


@shows("VSERPORT_CHANGE")
async def test_serial_port(place: Path) -> None:
    """A port that the guest opens is open until it closes it."""
    async with watched(place, *devices.serial_port("agent")) as (machine, exporter):
        for opened in (True, False):
            await devices.open_serial_port(machine, opened=opened)
            await exporter.until("qemu_virtio_serial_port_open", float(opened), port="agent")


@shows("ACPI_DEVICE_OST")
async def test_memory_slots(place: Path) -> None:
    """Reports on slots read as the ACPI specification names them; numbers without name: other."""
    reports = {
        (0x01, 0x00): ("DIMM", "device-check", "success"),
        (0x03, 0x81): ("DIMM", "eject-request", "device-in-use"),
        (0x200, 0x81): ("DIMM", "insertion", "driver-load-failure"),
        (0x7777, 0x8888): ("DIMM", "other", "other"),
    }
    async with watched(place, *devices.MEMORY_SLOTS) as (machine, exporter):
        await devices.plug_memory(machine, "dimm0")
        for source, status in reports:
            await devices.acpi_ost(machine, 0, source, status)
        page = await exporter.until("qemu_events_total", len(reports), event="ACPI_DEVICE_OST")
        rows = page.rows("qemu_acpi_device_ost_total", "slot_type", "source", "status")
        assert rows == dict.fromkeys(reports.values(), 1)


@on_qemu(before=(9, 1), why="QEMU 9.1 removed MEM_UNPLUG_ERROR, and the way to bring it about")
@shows("MEM_UNPLUG_ERROR", "DEVICE_UNPLUG_GUEST_ERROR")
async def test_memory_that_cannot_be_unplugged(place: Path) -> None:
    """A memory module that does not go is counted by its id, by both events of it.

    Unplugging is switched off under a plugged module.
    """
    async with watched(place, "-machine", "q35", *devices.MEMORY_SLOTS) as (machine, exporter):
        await devices.plug_memory(machine, "dimm0")
        await eject_in_vain(machine)
        page = await exporter.until("qemu_device_unplug_errors_total", 1, device="dimm0")
        assert page.rows("qemu_memory_unplug_errors_total", "device") == {"dimm0": 1}


@shows("DUMP_COMPLETED")
@pytest.mark.parametrize(("path", "status"), [("/dev/null", "completed"), ("/dev/full", "failed")])
async def test_dump(place: Path, path: str, status: str) -> None:
    """A dump counts by its outcome, with how much there was to write and how much was written."""
    async with watched(place) as (machine, exporter):
        assert await operations.dump(machine, path) == status
        await exporter.until("qemu_dumps_total", 1, status=status)
        page = await exporter.until("qemu_vm_resumes_total", 1)
        size = page.value("qemu_dump_size_bytes")
        assert size is not None
        assert size > 64 << 20
        assert page.value("qemu_dump_written_bytes") == (size if status == "completed" else 0)
        assert page.rows("qemu_vm_stops_total", "cause") == {"snapshot": 1}
        assert page.rows("qemu_dumps_total", "status") == {status: 1}


@shows("JOB_STATUS_CHANGE", "BLOCK_JOB_COMPLETED")
async def test_backup_job(place: Path) -> None:
    """A backup counts by its type and outcome, with how long it took; no job is left."""
    async with watched(place, *disks.ide_disk("disk0")) as (machine, exporter):
        copy = {"driver": "null-co", "node-name": "copy", "size": disks.SIZE}
        await machine.execute("blockdev-add", **copy)
        job = {"job-id": "job0", "device": "disk0", "target": "copy", "sync": "full"}
        await machine.execute("blockdev-backup", **job)
        await exporter.until("qemu_block_jobs_total", 1, type="backup", outcome="completed")
        page = await exporter.until("qemu_jobs", 0, status="concluded")
        assert page.events() == {"JOB_STATUS_CHANGE", "BLOCK_JOB_COMPLETED"}
        assert sum(page.rows("qemu_jobs", "status").values()) == 0
        seconds = page.rows("qemu_block_job_last_duration_seconds", "type")
        assert seconds.keys() == {"backup"}
        assert 0 < seconds["backup"] < 60
