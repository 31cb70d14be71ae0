"""Each recipe of the lab brings the events it promises from a real QEMU.

Order and sets are checked within one machine, never numbers: QEMU merges some events that come
within a second.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from errno import EIO, ENOSPC, EPIPE
from typing import TYPE_CHECKING, Any, get_args

import pytest

from qmp_exporter.demo import Machine, devices, disks, operations, rfb
from witness import Ear, lab, listening


if TYPE_CHECKING:
    from pathlib import Path


# Disks

ACTIONS = [
    *(("read", EIO, action, action) for action in get_args(disks.ReadAction)),
    *(("write", EIO, action, action) for action in ("report", "ignore", "stop")),
    ("write", ENOSPC, "enospc", "stop"),
    ("write", EIO, "enospc", "report"),
]


@pytest.mark.parametrize(("operation", "errno", "action", "done"), ACTIONS)
async def test_disk_error(place: Path, operation: Any, errno: int, action: Any, done: str) -> None:
    """A request that fails brings BLOCK_IO_ERROR with the operation, and the action that follows.

    With stop, QEMU stops; a repaired disk and cont let it run, and damage is damage again. The
    second error of a second waits, from QEMU 9.2 on, and comes after the STOP that it brings.
    """
    actions = {"rerror": action} if operation == "read" else {"werror": action}
    request = disks.read if operation == "read" else disks.write
    fault = disks.Fault(operation, errno)
    async with lab(place, *disks.ide_disk("disk0", fault, **actions)) as (machine, ear):
        await request(machine, 8)
        (data,) = await ear.hear("BLOCK_IO_ERROR")
        assert data["operation"] == operation
        assert data["action"] == done
        assert data.get("nospace", False) == (errno == ENOSPC)
        assert data["node-name"] == "disk0"
        if done == "stop":
            await ear.hear("BLOCK_IO_ERROR", "STOP")
            await machine.until("io-error")
            await disks.repair(machine, "disk0")
            await machine.execute("cont")
            await machine.until("running")
            await disks.damage(machine, "disk0")
            await request(machine, 8)
            await ear.hear("BLOCK_IO_ERROR", "STOP", "RESUME", "STOP")
            await ear.hear("BLOCK_IO_ERROR", "RESUME", "BLOCK_IO_ERROR")


@pytest.mark.parametrize("channel", [0, 1])
async def test_disk_error_once(place: Path, channel: int) -> None:
    """A fault of one sector leaves the others alone; one that comes once lets a retry succeed."""
    fault = disks.Fault("read", sector=8, once=True)
    disk = disks.ide_disk("disk0", fault, channel=channel, rerror="stop")
    async with lab(place, *disk) as (machine, ear):
        await disks.read(machine, 7, channel=channel)
        await disks.write(machine, 8, channel=channel)
        assert ear.names == []
        await disks.read(machine, 8, channel=channel)
        await ear.hear("BLOCK_IO_ERROR", "STOP")
        await machine.execute("cont")
        await machine.until("running")
        await disks.read(machine, 8, channel=channel)
        assert await machine.status() == "running"
        assert ear.names == ["BLOCK_IO_ERROR", "STOP", "RESUME"]


async def test_quorum_outvotes(place: Path) -> None:
    """One child that differs is reported without an error."""
    async with lab(place, *disks.quorum_disk(place, "vm", contents=(0, 0, 1))) as (machine, ear):
        await disks.quorum_io(machine, "read")
        (data,) = await ear.hear("QUORUM_REPORT_BAD")
        assert data["type"] == "read"
        assert data["node-name"] == "quorum0-2"
        assert "error" not in data


async def test_quorum_fails(place: Path) -> None:
    """Three children that differ are a failure of the whole."""
    async with lab(place, *disks.quorum_disk(place, "vm", contents=(0, 1, 2))) as (machine, ear):
        await disks.quorum_io(machine, "read")
        (data,) = await ear.hear("QUORUM_FAILURE")
        assert data["reference"] == "quorum0"


@pytest.mark.parametrize("operation", get_args(disks.Operation))
async def test_quorum_reports_failing_child(place: Path, operation: disks.Operation) -> None:
    """A child that fails is reported with its error."""
    disk = disks.quorum_disk(place, "vm", faults=(disks.Fault(operation, EPIPE),))
    async with lab(place, *disk) as (machine, ear):
        await disks.quorum_io(machine, operation)
        (data,) = await ear.hear("QUORUM_REPORT_BAD")
        assert data["type"] == operation
        assert data["error"] == "Broken pipe"


# Devices

AFTER_WATCHDOG = {
    "reset": ["RESET"],
    "shutdown": ["POWERDOWN"],
    "poweroff": [],
    "pause": ["STOP"],
    "debug": [],
    "none": [],
    "inject-nmi": [],
}


@pytest.mark.parametrize("action", get_args(devices.WatchdogAction))
async def test_watchdog(place: Path, action: devices.WatchdogAction) -> None:
    """The action of the watchdog can be chosen while the VM runs, all seven of them."""
    async with lab(place, *devices.WATCHDOG) as (machine, ear):
        await devices.fire_watchdog(machine, action)
        data, *_ = await ear.hear("WATCHDOG", *AFTER_WATCHDOG[action])
        assert data == {"action": action}
        if action == "poweroff":
            assert await machine.wait() == 0
        elif action == "pause":
            assert await machine.until("watchdog")
        else:
            assert await machine.status() == "running"


AFTER_PANIC: dict[str, tuple[str, list[str], int | None]] = {
    "pause": ("pause", ["STOP"], None),
    "none": ("run", [], None),
    "shutdown": ("poweroff", ["SHUTDOWN"], 0),
    "exit-failure": ("poweroff", ["SHUTDOWN"], 1),
}


@pytest.mark.parametrize("action", get_args(devices.PanicAction))
async def test_panic(place: Path, action: devices.PanicAction) -> None:
    """A panic brings what its action says; after a pause a reset lets the VM go on."""
    done, following, code = AFTER_PANIC[action]
    async with lab(place, *devices.PVPANIC) as (machine, ear):
        await devices.set_action(machine, panic=action)
        await devices.panic(machine)
        data, *_ = await ear.hear("GUEST_PANICKED", *following)
        assert data == {"action": done}
        if code is not None:
            assert await machine.wait() == code
        if action == "pause":
            await machine.until("guest-panicked")
            await machine.execute("system_reset")
            await machine.execute("cont")
            await machine.until("running")


async def test_crashload(place: Path) -> None:
    """A guest that loads its crash kernel says so, and runs on."""
    async with lab(place, *devices.PVPANIC) as (machine, ear):
        await devices.crashload(machine)
        assert await ear.hear("GUEST_CRASHLOADED") == [{"action": "run"}]


async def test_rtc(place: Path) -> None:
    """A clock set from 2020 to 2030 is ten years ahead."""
    async with lab(place, *devices.CLOCK) as (machine, ear):
        await devices.change_rtc(machine, 2030)
        (data,) = await ear.hear("RTC_CHANGE")
        assert data["offset"] == pytest.approx(10 * 365.25 * 86400, rel=1e-3)


async def test_balloon(place: Path) -> None:
    """The balloon's size arrives as what is left to the guest, also after a reset."""
    async with lab(place, *devices.BALLOON) as (machine, ear):
        await devices.set_balloon_actual(machine, 4096)
        assert await ear.hear("BALLOON_CHANGE") == [{"actual": 48 << 20}]
        await machine.execute("system_reset")
        await ear.hear("RESET")
        await devices.set_balloon_actual(machine, 1)
        _, data = await ear.hear("BALLOON_CHANGE", "BALLOON_CHANGE")
        assert data == {"actual": (64 << 20) - 4096}


async def test_serial_port(place: Path) -> None:
    """A guest opens and closes its serial port."""
    async with lab(place, *devices.serial_port("agent")) as (machine, ear):
        for opened in (True, False):
            await devices.open_serial_port(machine, opened=opened)
        first, last = await ear.hear("VSERPORT_CHANGE", "VSERPORT_CHANGE")
        assert first == {"id": "agent", "open": True}
        assert last == {"id": "agent", "open": False}


async def test_acpi_ost(place: Path) -> None:
    """The outcome of an operation on a slot names the module in it, if there is one."""
    async with lab(place, *devices.MEMORY_SLOTS) as (machine, ear):
        await devices.plug_memory(machine, "dimm0")
        await devices.acpi_ost(machine, 0, 1, 0)
        await devices.acpi_ost(machine, 1, 3, 0x81)
        full, empty = await ear.hear("ACPI_DEVICE_OST", "ACPI_DEVICE_OST")
        common = {"slot-type": "DIMM"}
        assert full["info"] == common | {"device": "dimm0", "slot": "0", "source": 1, "status": 0}
        assert empty["info"] == common | {"slot": "1", "source": 3, "status": 129}


# Operations


@pytest.mark.parametrize(("path", "status"), [("vm.dump", "completed"), ("/dev/full", "failed")])
async def test_dump(place: Path, path: str, status: str) -> None:
    """A dump ends, for good or not, and says so."""
    async with lab(place) as (machine, ear):
        assert await operations.dump(machine, path) == status
        (data,) = await ear.hear("DUMP_COMPLETED")
        assert data["result"]["status"] == status
        assert ("error" in data) == (status == "failed")


async def test_dump_to_nowhere(place: Path) -> None:
    """A dump may go to /dev/null, which is the default."""
    async with lab(place) as (machine, ear):
        assert await operations.dump(machine) == "completed"
        await ear.hear("DUMP_COMPLETED")
        await machine.until("running")


async def statuses(ear: Ear, last: str) -> list[str]:
    """Wait for this status of a migration and return all before it, and it."""

    def seen() -> list[str]:
        return [e["data"]["status"] for e in ear.heard if e["event"] == "MIGRATION"]

    await ear.wait(lambda: last in seen())
    return seen()


async def test_migration(place: Path) -> None:
    """A migration completes and stops the VM, which can go on and migrate again."""
    async with lab(place, migrations=True) as (machine, ear):
        for _ in range(2):
            assert await operations.migrate(machine) == "completed"
            await machine.until("postmigrate")
            await machine.execute("cont")
            await machine.until("running")
        assert (await statuses(ear, "completed"))[:2] == ["setup", "active"]
        await ear.hear("MIGRATION", "MIGRATION_PASS", "STOP", "MIGRATION", "RESUME", "STOP")


async def test_migration_without_the_capability(place: Path) -> None:
    """The lab does not switch on the events of a migration: that is up to the exporter."""
    async with lab(place) as (machine, ear):
        await operations.migrate(machine)
        await ear.hear("STOP")
        assert "MIGRATION" not in ear.names


async def test_migration_fails(place: Path) -> None:
    """A migration that nobody takes fails, and the VM runs on."""
    async with lab(place, migrations=True) as (machine, ear):
        assert await operations.migrate(machine, "exec:false") == "failed"
        assert (await statuses(ear, "failed"))[0] == "setup"
        await machine.until("running")


async def test_migration_is_cancelled(place: Path) -> None:
    """A migration is cancelled, the VM runs on, and the next one is as fast as ever."""
    async with lab(place, migrations=True) as (machine, ear):
        assert await operations.migrate_cancelled(machine) == "cancelled"
        assert "cancelling" in await statuses(ear, "cancelled")
        assert await machine.status() == "running"
        assert await operations.migrate(machine) == "completed"


async def test_migration_between_two(place: Path) -> None:
    """A VM moves from one machine to the other, of the same name."""
    async with AsyncExitStack() as stack:
        source = Machine(place, "src", "-name", "vm")
        destination = Machine(place, "dst", "-name", "vm", "-incoming", "defer")
        ears = []
        for machine in (source, destination):
            await stack.enter_async_context(machine)
            ears += [await stack.enter_async_context(listening(machine, migrations=True))]
        assert await destination.status() == "inmigrate"
        assert await operations.migrate_between(source, destination) == "completed"
        await source.until("postmigrate")
        await destination.until("running")
        for ear in ears:
            assert "active" in await statuses(ear, "completed")
        await ears[1].hear("RESUME")


# Screens


async def test_vnc(place: Path) -> None:
    """A viewer is seen to come, to log in and to leave; a probe to come and to leave."""
    async with lab(place, "-vnc", "unix:vm.vnc") as (_, ear):
        async with rfb.viewer(place / "vm.vnc"):
            await ear.hear("VNC_CONNECTED", "VNC_INITIALIZED")
            assert "VNC_DISCONNECTED" not in ear.names
        await ear.hear("VNC_INITIALIZED", "VNC_DISCONNECTED")
        await rfb.probe(place / "vm.vnc")
        await ear.hear("VNC_DISCONNECTED", "VNC_CONNECTED", "VNC_DISCONNECTED")
        assert ear.names.count("VNC_INITIALIZED") == 1


async def test_vnc_password(place: Path) -> None:
    """A wrong password is refused; nobody is initialised."""
    async with lab(place, "-vnc", "unix:vm.vnc,password=on") as (_, ear):
        await rfb.wrong_password(place / "vm.vnc")
        with pytest.raises(rfb.LoginRefusedError, match="wants a security type"):
            async with rfb.viewer(place / "vm.vnc"):
                pytest.fail("logged in")
        await ear.hear("VNC_CONNECTED", "VNC_DISCONNECTED", "VNC_CONNECTED", "VNC_DISCONNECTED")
        assert "VNC_INITIALIZED" not in ear.names
