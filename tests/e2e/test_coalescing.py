"""Events of which QEMU sends one a second at most, and what the page reads of many.

The first goes out at once, the last of those that follow when the second is over, with the stamp
of when it happened. So a counter is a lower bound, a gauge is right a second later at the latest,
and an event may come after younger ones, even on the next connection.
Source: QEMU's monitor/monitor.c, monitor_qapi_event_conf.
"""

from __future__ import annotations

from errno import EIO
from socket import SHUT_RDWR
from time import monotonic, time
from typing import TYPE_CHECKING

import pytest

from e2e.lab.generation import on_qemu, shows
from e2e.lab.scenario import Scenario, scenario
from qmp_exporter.demo import devices, disks


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from socket import socket


MANY = 200


async def repeated(
    vm: Scenario, event: str, act: Callable[[], Awaitable[None]], times: int = 50
) -> int:
    """Let something happen again and again, and wait for what QEMU held back of these events.

    Returns:
        How many came: one a second, the first at once and the last late.
    """
    began = monotonic()
    for _ in range(times - 1):
        await act()
    before = time()
    await act()
    seconds = monotonic() - began
    await vm.ear.wait(lambda: max(vm.stamps(event), default=0) >= before)
    heard = len(vm.stamps(event))
    assert 2 <= heard <= 2 + seconds
    return heard


def failing_disk() -> list[str]:
    """Return QEMU's arguments for a disk that fails every read, and goes on."""
    return disks.ide_disk("disk0", disks.Fault("read", EIO), rerror="report")


ERRORS = ("qemu_block_io_errors_total", {"operation": "read", "action": "report"})


@on_qemu(before=(9, 2), why="from QEMU 9.2 on BLOCK_IO_ERROR is coalesced for each disk")
@shows("BLOCK_IO_ERROR")
async def test_every_io_error_is_told(place: Path) -> None:
    """Of 200 errors none is lost: the counter is exact."""
    async with scenario(place, *failing_disk()) as vm:
        for _ in range(MANY):
            await disks.read(vm.machine, 8)
        await vm.reads(ERRORS[0], MANY, **ERRORS[1])
        assert len(vm.heard("BLOCK_IO_ERROR")) == MANY
        assert "qom-path" not in vm.heard("BLOCK_IO_ERROR")[0]


@on_qemu(since=(9, 2), why="before QEMU 9.2 every BLOCK_IO_ERROR is sent")
@shows("BLOCK_IO_ERROR")
async def test_io_errors_are_coalesced(place: Path) -> None:
    """Of 200 errors one a second is told: the counter is a lower bound."""
    async with scenario(place, *failing_disk()) as vm:
        heard = await repeated(vm, "BLOCK_IO_ERROR", lambda: disks.read(vm.machine, 8), MANY)
        await vm.reads(ERRORS[0], heard, **ERRORS[1])
        assert vm.heard("BLOCK_IO_ERROR")[0]["qom-path"] == "/machine/peripheral/disk0"


@shows("GUEST_PANICKED")
async def test_panics_are_not_coalesced(place: Path) -> None:
    """Of 200 panics that do nothing none is lost."""
    async with scenario(place, "-device", "pvpanic", "-action", "panic=none") as vm:
        for _ in range(MANY):
            await devices.panic(vm.machine)
        await vm.reads("qemu_guest_panics_total", MANY, action="run", kind="unknown")


@shows("RTC_CHANGE")
async def test_clock_set_again_and_again(place: Path) -> None:
    """What QEMU held back is the last: the offset is that of the last time the clock was set."""
    years = iter(range(2021, 2071))
    async with scenario(place, *devices.CLOCK) as vm:
        heard = await repeated(
            vm, "RTC_CHANGE", lambda: devices.change_rtc(vm.machine, next(years))
        )
        page = await vm.reads("qemu_events_total", heard, event="RTC_CHANGE")
        assert page.value("qemu_rtc_offset_seconds") == vm.heard("RTC_CHANGE")[-1]["offset"]
        half = 50 * 365.25 * 86400
        assert page.value("qemu_rtc_offset_seconds") == pytest.approx(half, rel=1e-3)


@shows("BALLOON_CHANGE")
async def test_balloon_changed_again_and_again(place: Path) -> None:
    """The size is that of the last change."""
    pages = iter(range(100, 150))
    async with scenario(place, *devices.BALLOON) as vm:
        heard = await repeated(
            vm, "BALLOON_CHANGE", lambda: devices.set_balloon_actual(vm.machine, next(pages))
        )
        page = await vm.reads("qemu_events_total", heard, event="BALLOON_CHANGE")
        left = (64 << 20) - 149 * devices.PAGE
        assert page.value("qemu_balloon_actual_bytes") == left


@shows("WATCHDOG")
async def test_watchdog_that_fires_again_and_again(place: Path) -> None:
    """One a second is told, so the counter of actions is a lower bound."""
    async with scenario(place, *devices.WATCHDOG) as vm:
        await devices.set_action(vm.machine, watchdog="none")
        heard = await repeated(vm, "WATCHDOG", lambda: devices.fire_watchdog(vm.machine))
        await vm.reads("qemu_watchdog_actions_total", heard, action="none")


@shows("VSERPORT_CHANGE")
async def test_port_that_flaps(place: Path) -> None:
    """A port that opens and closes again and again reads closed where that came last."""
    state = {"opened": False}

    async def flap() -> None:
        state["opened"] = not state["opened"]
        await devices.open_serial_port(vm.machine, opened=state["opened"])

    async with scenario(place, *devices.serial_port("agent")) as vm:
        await repeated(vm, "VSERPORT_CHANGE", flap, 20)
        await vm.reads("qemu_virtio_serial_port_open", 0, port="agent")


@shows("QUORUM_FAILURE", "QUORUM_REPORT_BAD")
async def test_quorum_that_fails_again_and_again(place: Path) -> None:
    """Failures are coalesced for the machine, reports for each node."""
    split = disks.quorum_disk(place, "vm", "split", contents=(0, 1, 2))
    outvoted = disks.quorum_disk(place, "vm", "outvoted", contents=(0, 0, 1))
    async with scenario(place, *split, *outvoted) as vm:
        heard = await repeated(
            vm, "QUORUM_FAILURE", lambda: disks.quorum_io(vm.machine, "read", "split")
        )
        await vm.reads("qemu_quorum_failures_total", heard, reference="split")
        heard = await repeated(
            vm, "QUORUM_REPORT_BAD", lambda: disks.quorum_io(vm.machine, "read", "outvoted")
        )
        bad = {"node": "outvoted-2", "operation": "read"}
        await vm.reads("qemu_quorum_bad_reports_total", heard, **bad)


@shows("RTC_CHANGE", "STOP")
async def test_younger_events_come_first(place: Path) -> None:
    """An event that was held back comes after a younger one, and is not the newest on the page."""
    async with scenario(place, *devices.CLOCK) as vm:
        for year in (2030, 2040):
            await devices.change_rtc(vm.machine, year)
        await vm.machine.execute("stop")
        await vm.hears("RTC_CHANGE", "STOP", "RTC_CHANGE")
        page = await vm.reads("qemu_events_total", 2, event="RTC_CHANGE")
        assert page.value("qemu_rtc_offset_seconds") == vm.heard("RTC_CHANGE")[-1]["offset"]
        (stop,), (_, late) = vm.stamps("STOP"), vm.stamps("RTC_CHANGE")
        assert late < stop
        assert page.value("qemu_last_event_timestamp_seconds") == pytest.approx(stop, abs=1e-4)


@shows("RTC_CHANGE")
async def test_order_across_a_reconnect(place: Path, wire: list[socket]) -> None:
    """An event that was held back over a reconnect counts, with its own time and value."""
    async with scenario(place, *devices.CLOCK) as vm:
        for attempt in range(1, 11):  # a slow machine may connect too late for what is held back
            for year in (2030 + attempt, 2050 + attempt):
                await devices.change_rtc(vm.machine, year)
            seen = len(vm.heard("RTC_CHANGE"))
            wire[-1].shutdown(SHUT_RDWR)
            await vm.machine.execute("stop")
            await vm.reads("qmp_exporter_connects_total", attempt + 1)
            await vm.reads("qemu_vm_status", 1, status="paused")
            read = time()
            in_time = len(vm.heard("RTC_CHANGE")) == seen
            await vm.ear.wait(lambda seen=seen: len(vm.heard("RTC_CHANGE")) > seen)
            if in_time:
                break
            await vm.machine.execute("cont")
            await vm.reads("qemu_vm_running", 1)
        else:
            pytest.fail("the exporter never connected within a second")
        assert vm.stamps("STOP")[-1] > vm.stamps("RTC_CHANGE")[-1]
        assert vm.stamps("RTC_CHANGE")[-1] < read
        late = vm.heard("RTC_CHANGE")[-1]
        page = await vm.reads("qemu_rtc_offset_seconds", late["offset"])
        assert page.status() == "paused"
