"""Real machines, recorded and played again: an exporter cannot tell which of both it watches."""

from __future__ import annotations

import asyncio
import contextlib
from errno import EIO
from typing import TYPE_CHECKING

import pytest

from e2e.page import Page, exporting, screen
from qmp_exporter.config.settings import Settings
from qmp_exporter.demo import Machine, devices, disks, operations, rfb
from qmp_exporter.model.target import Target
from qmp_exporter.recording.record import record
from qmp_exporter.recording.replay import replay
from qmp_exporter.recording.tape import Tape


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


PATIENCE = 20.0
MOST = 10_000_000

COUNTED = {
    "io-error": ("qemu_vm_stops_total", {"cause": "io-error"}),
    "paused": ("qemu_vm_stops_total", {"cause": "host"}),
    "guest-panicked": ("qemu_vm_stops_total", {"cause": "guest-panic"}),
    "prelaunch": ("qemu_vm_status", {"status": "prelaunch"}),
    "failed": ("qemu_migrations_total", {"role": "source", "outcome": "failed"}),
}
"""What shows that QEMU has told the exporter of a state, which may have guessed it before."""

UUID = "5eb00000-0000-4000-8000-000000000001"


def machine(place: Path, *args: str) -> Machine:
    """Return a machine with two monitors, and much that can happen to it."""
    fault = disks.Fault("read", EIO)
    return Machine(
        place,
        "vm",
        *disks.ide_disk("disk0", fault, rerror="stop", werror="stop"),
        *devices.WATCHDOG,
        *devices.PVPANIC,
        *devices.BALLOON,
        *("-vnc", "unix:vm.vnc", "-qmp", "unix:vm.second,server=on,wait=off"),
        *args,
        uuid=UUID,
    )


async def live(vm: Machine, told: Callable[[str], Awaitable[object]]) -> None:
    """Let things happen; each stop lasts until who watches was told of its state."""
    await disks.read(vm, 8)
    await told("io-error")
    await disks.repair(vm, "disk0")
    await vm.execute("cont")
    where = await screen(vm)
    async with rfb.viewer(where), rfb.viewer(where):
        await rfb.probe(where)
    await vm.execute("stop")
    await told("paused")
    await vm.execute("cont")
    await devices.panic(vm)
    await told("guest-panicked")
    await vm.execute("system_reset")
    await told("prelaunch")
    await vm.execute("cont")
    assert await operations.migrate(vm, "exec:false") == "failed"
    await told("failed")
    await vm.until("running")


def there(path: Path, word: str = "") -> bool:
    """Tell whether there is a file with a word in it."""
    return path.exists() and (not word or word in path.read_text())


def gone(path: Path) -> None:
    """Remove a file."""
    path.unlink()


async def until_there(path: Path, word: str = "") -> None:
    """Wait for a file with a word in it."""
    async with asyncio.timeout(PATIENCE):
        while not there(path, word):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


def shown(page: Page, monitor: Path) -> dict[object, float]:
    """Return what a page says of a machine, but how long what took, and of the process."""
    found: dict[object, float] = {}
    for (name, labels), value in page.samples.items():
        if name.startswith("qemu_") and "_seconds" not in name:
            rest = {(k, v.replace(str(monitor), "")) for k, v in labels}
            found[name, frozenset(rest)] = value
    return found


def total(page: Page) -> float:
    """Return how many events were counted."""
    return sum(page.rows("qemu_events_total", "event").values())


async def test_a_replay_is_as_good_as_the_machine(place: Path) -> None:
    """What was recorded of one of two monitors gives the metrics that the other one gave."""
    file = place / "recording"
    async with machine(place) as vm, exporting(vm.monitor) as exporter:
        await exporter.ready(vm)
        target = Target(str(place / "vm.second"))
        recording = asyncio.create_task(
            record(target, file, Settings(), personal=True, most=MOST, say=lambda _: None)
        )
        await until_there(file, "query-migrate-capabilities")

        async def told(status: str) -> None:
            name, labels = COUNTED[status]
            await exporter.until(name, 1, **labels)
            await until_there(file, f'"status":"{status}"')

        await live(vm, told)
        with contextlib.suppress(Exception):
            await vm.execute("quit")
        await asyncio.wait_for(recording, PATIENCE)
        page = await exporter.until("qemu_vm_exits_total", 1, cause="host-quit")
        expected = shown(page, vm.monitor)
        seconds = page.value("qemu_migration_last_duration_seconds")
    tape = Tape.load(file)
    assert tape.events == total(page) > 10
    assert tape.end == "gone"
    socket = place / "played.qmp"
    playing = asyncio.create_task(replay(tape, socket, say=lambda _: None, patience=PATIENCE))
    await until_there(socket)
    async with exporting(socket) as exporter:
        await asyncio.wait_for(playing, PATIENCE)
        page = await exporter.until("qemu_vm_exits_total", 1, cause="host-quit")
        assert shown(page, socket) == expected
        assert page.value("qemu_migration_last_duration_seconds") == pytest.approx(
            seconds, abs=1e-5
        )
    gone(file)


async def test_nothing_of_a_real_machine_is_personal(place: Path) -> None:
    """Names, paths and ids that the host chose are in no recording, unless they are asked for."""
    file = place / "recording"
    async with machine(place) as vm:
        recording = asyncio.create_task(
            record(
                Target(str(vm.monitor)),
                file,
                Settings(),
                personal=False,
                most=MOST,
                say=lambda _: None,
            )
        )
        await until_there(file, "migrate-set-capabilities")
        await live(vm, lambda status: until_there(file, f'"status":"{status}"'))
        await vm.kill()
        await asyncio.wait_for(recording, PATIENCE)
    tape = Tape.load(file)
    assert tape.end == "gone"
    text = "\n".join(text_of(file).splitlines()[1:])
    assert [word for word in (str(place), "disk0", "vm.vnc", '"vm"', UUID) if word in text] == []
    assert "io-error" in text
    gone(file)


def text_of(path: Path) -> str:
    """Return what is in a file."""
    return path.read_text()
