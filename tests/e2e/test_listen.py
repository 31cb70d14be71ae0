"""Real QEMUs that dial in: the VM starts whether or not the exporter runs."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from e2e.lab import generation
from e2e.page import exporting
from qmp_exporter.demo import Machine
from qmp_exporter.model.target import Listening


if TYPE_CHECKING:
    from pathlib import Path


def dialling(place: Path, name: str = "vm", *args: str) -> Machine:
    """A machine that dials in, and again every second; the old option went with QEMU 10.2."""
    again = "reconnect-ms=1000"
    if generation.version_of(generation.binary()) < (9, 2):
        again = "reconnect=1"
    chardev = f"socket,id=hub,path={place / 'hub.sock'},{again}"
    return Machine(place, name, "-chardev", chardev, "-mon", "chardev=hub,mode=control", *args)


def hub(place: Path) -> tuple[Listening, ...]:
    """Where it dials in."""
    return (Listening(str(place / "hub.sock")),)


async def test_exporter_is_first(place: Path) -> None:
    """A machine is known by its name and pid as soon as it runs, and its events count."""
    async with exporting(listeners=hub(place)) as exporter, dialling(place) as machine:
        page = await exporter.until("qemu_up", 1)
        assert page.vms() == {"vm"}
        assert page.value("qemu_vm_info", monitor=str(place / "hub.sock")) == 1
        assert (page.value("qemu_process_start_time_seconds") or 0) > 0
        await machine.execute("stop")
        await exporter.until("qemu_vm_stops_total", 1, cause="host")
        await machine.execute("cont")
        await exporter.until("qemu_vm_resumes_total", 1)


async def test_machine_is_first(place: Path) -> None:
    """It runs without an exporter, and is watched within its reconnect time of the start of one."""
    async with dialling(place) as machine:
        assert await machine.status() == "running"
        for _ in range(2):
            async with exporting(listeners=hub(place)) as exporter:
                page = await exporter.until("qemu_vm_status", 1, status="running")
                assert page.value("qemu_up") == 1
                assert page.rows("qemu_vm_exits_total", "cause") == {}
        assert machine.running


async def test_ends_are_told_apart(place: Path) -> None:
    """As with a monitor that is dialled; the next process goes on with the counters."""
    async with exporting(listeners=hub(place)) as exporter:
        for number, (end, cause) in enumerate(
            (
                (Machine.kill, "crash"),
                (Machine.quit, "host-quit"),
                (Machine.terminate, "signal"),
            ),
            1,
        ):
            async with dialling(place) as machine:
                await exporter.until("qmp_exporter_connects_total", number, vm="vm")
                await end(machine)
                page = await exporter.until("qemu_vm_exits_total", 1, cause=cause)
                assert page.value("qemu_up") == 0
        assert page.vms() == {"vm"}


async def test_one_that_hangs_is_no_other_ones_affair(place: Path) -> None:
    """Many machines at one socket; one is stopped, another is killed."""
    async with (
        exporting(listeners=hub(place)) as exporter,
        dialling(place, "a") as first,
        dialling(place, "b") as second,
        dialling(place, "c") as third,
    ):
        for name in "abc":
            await exporter.until("qemu_up", 1, vm=name)
        first.signal(signal.SIGSTOP)
        await second.kill()
        page = await exporter.until("qemu_vm_exits_total", 1, vm="b", cause="crash")
        await third.execute("stop")
        page = await exporter.until("qemu_vm_stops_total", 1, vm="c", cause="host")
        assert page.rows("qemu_vm_exits_total", "cause", vm="a") == {}
        first.signal(signal.SIGCONT)
        await first.execute("stop")
        await exporter.until("qemu_vm_stops_total", 1, vm="a", cause="host")
