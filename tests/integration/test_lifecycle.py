"""The life of a VM's series: names, counters over reconnects, and what happens at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from fake_qmp import FakeMonitor
from integration.exporter import exporting
from qmp_exporter.model.target import Target
from qmp_exporter.model.vm import ENDING


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CLOCK = {"offset": 1, "qom-path": "/machine/rtc"}
UUIDS = ("1f5b1c2a-0000-4000-8000-000000000001", "2f5b1c2a-0000-4000-8000-000000000002")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the monitor is."""
    return tmp_path / "vm.sock"


async def send(monitor: FakeMonitor, number: int) -> None:
    """Let a VM send some events."""
    for _ in range(number):
        await monitor.send_event("RTC_CHANGE", CLOCK)


async def test_counters_go_on_over_a_hang_up(path: Path) -> None:
    """Whoever hung up, the same QEMU counts on; the connection is counted, and what ended it."""
    async with FakeMonitor(path, name="web01") as monitor, exporting(monitor) as it:
        await send(monitor, 3)
        await it.until_events("web01", 3)
        await monitor.wait_command("migrate-set-capabilities")  # the last: none is left unread
        await monitor.drop()
        await send(monitor, 2)
        page = await it.until_events("web01", 5)
        assert page["qmp_exporter_connects_total", {"vm": "web01"}] == 2.0
        assert page.rows("qmp_exporter_disconnects_total", vm="web01") == {("eof",): 1.0}
        assert page.rows("qemu_vm_exits_total") == {}
        assert page["qmp_exporter_unobserved_seconds_total", {"vm": "web01"}] != 0.0


async def test_counters_go_on_in_the_next_qemu_at_the_same_path(path: Path) -> None:
    """The VM is the same; its end is counted with its cause, by the events before it."""
    async with exporting(path) as it:
        for number, cause in enumerate(("host-quit", "guest-shutdown", "crash")):
            async with FakeMonitor(path, name="web01") as monitor:
                await send(monitor, 2)
                if cause != "crash":
                    guest = cause == "guest-shutdown"
                    reason = "guest-shutdown" if guest else "host-qmp-quit"
                    await monitor.send_event("SHUTDOWN", {"guest": guest, "reason": reason})
                await it.until_events("web01", 2 * (number + 1) + min(number + 1, 2))
            page = await it.until_state("web01", "gone")
            assert page["qemu_up", {"vm": "web01"}] == 0.0
            assert page["qemu_vm_running", {"vm": "web01"}] == 0.0
            assert page.rows("qemu_vm_status") == {}
            assert page["qemu_events_total", {"vm": "web01", "event": "RTC_CHANGE"}] == 2.0 * (
                number + 1
            )
        page = await it.scrape()
        assert page.rows("qemu_vm_exits_total", vm="web01") == {
            ("host-quit",): 1.0,
            ("guest-shutdown",): 1.0,
            ("crash",): 1.0,
        }
        assert sum(page.rows("qmp_exporter_fleet_exits_total").values()) == 3.0
        # A reset where it ended with a question of ours unread.
        lost = page.rows("qmp_exporter_disconnects_total", vm="web01")
        assert sum(lost.values()) == 3.0
        assert lost.keys() <= {("eof",), ("reset",)}


async def test_no_counter_of_a_page_ever_falls(path: Path) -> None:
    """Over loss, end and return, scraped all the time."""
    async with exporting(path) as it:
        last: dict[Any, float] = {}

        async def watch() -> None:
            while True:
                page = await it.scrape()
                now = {k: v for k, v in page.samples.items() if k[0].endswith("_total")}
                fallen = {k: (v, now[k]) for k, v in last.items() if k in now and now[k] < v}
                assert fallen == {}
                last.update(now)
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        for _ in range(5):
            async with FakeMonitor(path, name="vm") as monitor:
                await send(monitor, 3)
                await monitor.send_event("STOP")
                await monitor.drop()
                await monitor.wait_negotiated()
                await monitor.send_event("RESUME")
        await it.until_state("vm", "gone")
        assert not watching.done()
        watching.cancel()
        await asyncio.wait((watching,))
        assert watching.cancelled()
        assert last["qemu_events_total", frozenset({("vm", "vm"), ("event", "STOP")})] == 5.0


async def test_time_that_was_not_observed_is_counted_while_qemu_lives(path: Path) -> None:
    """A monitor held by another client: events are missed, and the page says for how long."""
    async with FakeMonitor(path, name="web01") as monitor, exporting(monitor) as it:
        await it.until_state("web01", "connected")
        # In the backlog before the exporter's connection is gone, so it comes first.
        _, writer = await asyncio.open_unix_connection(path)
        await asyncio.sleep(0.15)  # until the kernel's table is read again
        await monitor.drop()
        page = await it.until_state("web01", "busy")
        blind = "qmp_exporter_unobserved_seconds_total", {"vm": "web01"}
        page = await it.until(lambda page: page[blind], "time that was not observed", blind[0])
        first = page[blind]
        await asyncio.sleep(0.2)
        page = await it.scrape()
        second = page[blind]
        assert first is not None
        assert second is not None
        assert first > ENDING  # before, it could have been the end of QEMU
        assert 0.15 < second - first < 5
        assert page.rows("qemu_vm_exits_total") == {}
        writer.close()
        await it.until_state("web01", "connected")


async def test_a_vm_is_called_by_its_stem_until_it_says_its_name(path: Path) -> None:
    """What was counted before goes with it; no series of the stem stays."""
    async with exporting(path) as it:
        page = await it.until_state("vm", "gone")
        assert page.vms() == {"vm"}
        async with FakeMonitor(path, name="web01") as monitor:
            await send(monitor, 1)
            page = await it.until_events("web01", 1)
            assert page.vms() == {"web01"}
    async with FakeMonitor(path, name="") as monitor, exporting(monitor) as it:
        assert (await it.until_state("vm", "connected")).vms() == {"vm"}
    named = Target(str(path), name="configured")
    async with FakeMonitor(path, name="web01"), exporting(named) as it:
        assert (await it.until_state("configured", "connected")).vms() == {"configured"}


@contextlib.asynccontextmanager
async def two(tmp_path: Path, **second: Any) -> AsyncIterator[tuple[FakeMonitor, FakeMonitor]]:
    """Two monitors of VMs of one name."""
    async with (
        FakeMonitor(tmp_path / "a.sock", name="web", uuid=UUIDS[0]) as a,
        FakeMonitor(tmp_path / "b.sock", name="web", **second) as b,
    ):
        yield a, b


async def test_two_live_vms_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """The second is called by its uuid as well, and nothing of one is counted for the other."""
    async with two(tmp_path, uuid=UUIDS[1]) as (a, b), exporting(a, b) as it:
        page = await it.until(
            lambda page: page.rows("qmp_exporter_targets") == {("connected",): 2.0}, "both"
        )
        second = next(iter(page.vms() - {"web"}))
        assert page.vms() == {"web", second}
        assert second in {f"web~{uuid[:8]}" for uuid in UUIDS}
        await send(a, 2)
        await send(b, 3)
        by_name = {"web": 2, second: 3} if second.endswith("~2f5b1c2a") else {"web": 3, second: 2}
        for name, number in by_name.items():
            page = await it.until_events(name, number)
        for name, number in by_name.items():
            assert page.rows("qemu_events_total", vm=name) == {("RTC_CHANGE",): float(number)}


@pytest.mark.parametrize("slow", [0, 1])
async def test_of_two_vms_of_one_name_the_lesser_address_has_it(tmp_path: Path, slow: int) -> None:
    """Whichever answers first, so that the next run of the exporter names them alike."""
    async with two(tmp_path, uuid=UUIDS[1]) as monitors, exporting(*monitors[::-1]) as it:
        monitors[slow].reply_delay = 0.03
        page = await it.until(
            lambda page: page.rows("qmp_exporter_targets") == {("connected",): 2.0}, "both"
        )
        first = min(str(monitor.address) for monitor in monitors)
        assert page.rows("qemu_vm_info", vm="web", monitor=first)


async def test_the_next_holder_of_a_name_continues_its_counters(tmp_path: Path) -> None:
    """One VM ends, another with its name is found elsewhere: it moved; the first comes back."""
    first = tmp_path / "a.sock"
    second = tmp_path / "b.sock"
    async with exporting(first, second) as it:
        async with FakeMonitor(first, name="web", uuid=UUIDS[0]) as monitor:
            await send(monitor, 2)
            await it.until_events("web", 2)
        await it.until_state("web", "gone")
        async with FakeMonitor(second, name="web", uuid=UUIDS[0]) as monitor:
            await send(monitor, 3)
            page = await it.until_events("web", 5)
            assert page.vms() == {"web"}
            assert page["qmp_exporter_connects_total", {"vm": "web"}] == 2.0
            async with FakeMonitor(first, name="web", uuid=UUIDS[1]) as other:
                await send(other, 1)
                page = await it.until_events("web~2f5b1c2a", 1)
                assert page.vms() == {"web", "web~2f5b1c2a"}
                assert page.rows("qemu_up") == {("web",): 1.0, ("web~2f5b1c2a",): 1.0}
        assert page.rows("qmp_exporter_sink_errors_total") == {}


async def test_the_series_of_a_vm_that_ended_vanish_after_the_grace(path: Path) -> None:
    """All but whether it is up, its state, and what the exporter counts of a named target."""
    async with exporting(path, vm_grace=0.3) as it:
        async with FakeMonitor(path, name="web01") as monitor:
            await send(monitor, 2)
            await it.until_events("web01", 2)
        page = await it.until_state("web01", "gone")
        # Kept for the grace, so that the last events are scraped.
        assert page.rows("qemu_events_total", vm="web01") == {("RTC_CHANGE",): 2.0}
        page = await it.until(
            lambda page: page["qemu_events_total", {"vm": "web01", "event": "RESET"}] is None,
            "the end of the grace",
        )
        assert page.vms() == {"web01"}
        assert page["qemu_up", {"vm": "web01"}] == 0.0
        assert page.state("web01") == "gone"
        assert {name for name, pairs in page.samples if name.startswith("qemu_")} == {"qemu_up"}
        assert page.rows("qmp_exporter_targets") == {("gone",): 1.0}
        await asyncio.sleep(0.1)  # several attempts
        async with FakeMonitor(path, name="web01") as monitor:
            await send(monitor, 1)
            page = await it.until_events("web01", 1)
        assert page["qemu_events_total", {"vm": "web01", "event": "RTC_CHANGE"}] == 1.0
        assert page.rows("qmp_exporter_sink_errors_total") == {}


async def test_a_vm_back_within_the_grace_loses_nothing(path: Path) -> None:
    """And the grace begins anew with its next end."""
    async with exporting(path, vm_grace=0.4) as it:
        for round_ in range(1, 4):
            async with FakeMonitor(path, name="web01") as monitor:
                await send(monitor, 1)
                await it.until_events("web01", round_)
                await asyncio.sleep(0.15)
            await it.until_state("web01", "gone")


async def test_a_stopped_process_comes_back_where_it_was(path: Path) -> None:
    """SIGSTOP ends no connection: nothing is lost, and after SIGCONT everything is counted."""
    async with exporting(path) as it:
        with chatty(path) as child:
            try:
                await it.until_events("web01", 2)
                child.send_signal(signal.SIGSTOP)
                await asyncio.sleep(0.1)
                page = await it.scrape()
                before = sum(page.rows("qemu_events_total", vm="web01").values())
                assert page.state("web01") == "connected"
                child.send_signal(signal.SIGCONT)
                page = await it.until_events("web01", int(before) + 2)
                assert page["qmp_exporter_connects_total", {"vm": "web01"}] == 1.0
            finally:
                child.kill()
        page = await it.until_state("web01", "refused")  # it left its socket behind
        assert page.rows("qemu_vm_exits_total", vm="web01") == {("crash",): 1.0}


def chatty(path: Path) -> subprocess.Popen[bytes]:
    """A VM in a process of its own that sends an event 50 times a second."""
    code = (
        "import asyncio, pathlib, sys; from fake_qmp import FakeMonitor\n"
        "async def main():\n"
        "    async with FakeMonitor(pathlib.Path(sys.argv[1]), name='web01') as monitor:\n"
        "        while True:\n"
        "            await asyncio.sleep(0.02)\n"
        "            monitor.connected and await monitor.send_event('POWERDOWN')\n"
        "asyncio.run(main())\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", code, path], env=environment)
