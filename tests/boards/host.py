"""A host with real QEMUs to which everything happens that dashboards show and alerts tell.

One function is one machine and what befalls it. All run at the same time, and machines stay until
the end, in the state in which they were left.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import AsyncExitStack, asynccontextmanager, closing
from errno import EIO, ENOSPC, EPIPE
from typing import TYPE_CHECKING, Any, Final, TypeVar

from e2e.lab.generation import binary, version_of
from e2e.lab.memory import eject_in_vain
from e2e.lab.power import sleep
from e2e.page import screen
from fake_qmp import FakeMonitor
from qmp_exporter.catalog.events import BY_NAME
from qmp_exporter.demo import Machine, devices, disks, operations, rfb


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path


T = TypeVar("T")

WRITTEN: Final = 0x100000, 0x800000
"""Where a guest that migrates writes, and how many bytes."""


class Host:
    """See the module.

    Args:
        directory: where the monitors are, as ``NAME.qmp``.

    Attributes:
        began: set when all machines are watched, and faults may happen.
        stack: what is to end at the end.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.began = asyncio.Event()
        self.stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._starting = 0  # monitors that are not there yet

    async def machine(self, name: str, *args: str) -> Machine:
        """Start a machine that stays until the end; return it when faults may happen."""
        return await self.up(Machine(self.directory, name, *args))

    async def up(self, monitored: AbstractAsyncContextManager[T]) -> T:
        """Keep what has a monitor until the end; return what it is when faults may happen."""
        self._starting += 1
        entered = await self.stack.enter_async_context(monitored)
        self._starting -= 1
        await self.began.wait()
        return entered

    async def start(self) -> None:
        """Start all machines; return when all monitors are there."""
        self._tasks = [asyncio.create_task(fault(self)) for fault in FAULTS]
        await asyncio.sleep(0)  # each begins with its machines
        while self._starting:
            self.check()
            await asyncio.sleep(0.1)

    def check(self) -> None:
        """Fail if something that was to happen did not."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def close(self) -> None:
        """End everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.stack.aclose()


async def stopped_by_a_disk(host: Host) -> None:
    """A read fails and stops the machine, twice; the second time it stays so."""
    disk = disks.ide_disk("disk0", disks.Fault("read", EIO), rerror="stop")
    machine = await host.machine("web01", *disk)
    for last in (False, True):
        await disks.read(machine, 8)
        await machine.until("io-error")
        await asyncio.sleep(3)
        if not last:
            await disks.repair(machine, "disk0")
            await machine.execute("cont")
            await asyncio.sleep(2)
            await disks.damage(machine, "disk0")


async def no_space(host: Host) -> None:
    """The storage is full, which stops the machine."""
    disk = disks.ide_disk("disk0", disks.Fault("write", ENOSPC), werror="enospc")
    machine = await host.machine("db01", *disk)
    await disks.write(machine, 8)
    await machine.until("io-error")


async def reported_errors(host: Host) -> None:
    """Reads fail, and the guest is told, again and again."""
    disk = disks.ide_disk("disk0", disks.Fault("read", EIO), rerror="report")
    machine = await host.machine("files01", *disk)
    while True:
        await disks.read(machine, 8)
        await asyncio.sleep(1.5)


async def backup(host: Host) -> None:
    """A disk is backed up, slowly; then again."""
    machine = await host.machine("files02", *disks.ide_disk("disk0"))
    copy = {"driver": "null-co", "node-name": "copy", "size": disks.SIZE}
    await machine.execute("blockdev-add", **copy)
    for number in range(2):
        job = {"job-id": f"job{number}", "device": "disk0", "target": "copy", "sync": "full"}
        await machine.execute("blockdev-backup", **job, speed=2 << 20)
        await asyncio.sleep(9)


async def quorum(host: Host) -> None:
    """A member of a quorum fails, and of another one so many that none is left."""
    bad = disks.quorum_disk(host.directory, "quorum01", faults=(disks.Fault("read", EPIPE),))
    lost = disks.quorum_disk(host.directory, "quorum02", contents=(0, 1, 2))
    first, second = await asyncio.gather(
        host.machine("quorum01", *bad), host.machine("quorum02", *lost)
    )
    for _ in range(3):
        await disks.quorum_io(first, "read")
        await disks.quorum_io(second, "read")
        await asyncio.sleep(2)


async def panics(host: Host) -> None:
    """A guest panics again and again; another loads its crash kernel, and a third stands still."""
    first, second, third = await asyncio.gather(
        *(host.machine(f"guest0{number}", *devices.PVPANIC) for number in (1, 2, 3))
    )
    await devices.set_action(first, panic="none")
    await devices.crashload(second)
    await devices.panic(third)
    for _ in range(5):
        await devices.panic(first)
        await asyncio.sleep(2)


async def watchdog(host: Host) -> None:
    """A guest does not serve its watchdog, and is reset."""
    machine = await host.machine("app01", *devices.WATCHDOG)
    await devices.fire_watchdog(machine, "reset")


async def reboots(host: Host) -> None:
    """A machine is reset again and again."""
    machine = await host.machine("app02")
    for _ in range(8):
        await machine.execute("system_reset")
        await asyncio.sleep(1.5)


async def clock_and_memory(host: Host) -> None:
    """A guest sets its clock, gives memory back, and opens a serial port."""
    port = devices.serial_port("org.qemu.guest_agent.0")
    machine, other = await asyncio.gather(
        host.machine("desk01", *devices.CLOCK, *devices.BALLOON), host.machine("desk02", *port)
    )
    await asyncio.sleep(3)
    await devices.change_rtc(machine, 2030)
    await devices.set_balloon_actual(machine, 4096)
    for opened in (True, False, True):
        await devices.open_serial_port(other, opened=opened)
        await asyncio.sleep(3)


async def sleeper(host: Host) -> None:
    """A guest sleeps and wakes, is asked to power down, and does."""
    machine = await host.machine("desk03", "-no-shutdown")
    await sleep(machine, "memory")
    await machine.until("suspended")
    await asyncio.sleep(3)
    await machine.execute("system_wakeup")
    await machine.execute("system_powerdown")
    await asyncio.sleep(2)
    await sleep(machine, "off")


async def unplug_refused(host: Host) -> None:
    """Memory is to be unplugged, and the guest says that it is in use."""
    machine = await host.machine("mem01", *devices.MEMORY_SLOTS)
    await devices.plug_memory(machine, "dimm0")
    await devices.acpi_ost(machine, 0, 0x03, 0x81)


async def unplug_failed(host: Host) -> None:
    """Memory cannot be unplugged: that was switched off under a plugged module.

    QEMU 9.1 has removed the way to do that; there a monitor says what older ones say.
    """
    if version_of(binary()) >= (9, 1):
        monitor = await fake(host, "mem02")
        for event in ("MEM_UNPLUG_ERROR", "DEVICE_UNPLUG_GUEST_ERROR"):
            await monitor.send_event(event, BY_NAME[event].samples[0])
        return
    machine = await host.machine("mem02", "-machine", "q35", *devices.MEMORY_SLOTS)
    await devices.plug_memory(machine, "dimm0")
    await eject_in_vain(machine)


async def screens(host: Host) -> None:
    """Somebody looks at a screen, and somebody tries passwords."""
    first, second = await asyncio.gather(
        host.machine("kiosk01", "-vnc", "unix:kiosk01.vnc"),
        host.machine("kiosk02", "-vnc", "unix:kiosk02.vnc,password=on"),
    )
    await host.stack.enter_async_context(rfb.viewer(await screen(first)))
    where = await screen(second)
    while True:
        await rfb.wrong_password(where)
        await asyncio.sleep(0.1)


async def migrations(host: Host) -> None:
    """Migrations complete, fail and are cancelled."""
    machine = await host.machine("move01")
    await asyncio.sleep(2)
    await operations.migrate(machine, "exec:false")
    await operations.migrate_cancelled(machine)
    await asyncio.sleep(2)
    await operations.migrate(machine)
    await machine.execute("cont")


async def endless_migration(host: Host) -> None:
    """A guest writes faster than its migration can send."""
    machine = await host.machine("move02")
    parameters = {"max-bandwidth": 16 << 20, "downtime-limit": 1}
    await machine.execute("migrate-set-parameters", **parameters)
    await write_memory(machine)
    await machine.execute("migrate", uri=operations.NOWHERE)
    while True:
        await write_memory(machine)
        await asyncio.sleep(0.05)


async def stuck_migration(host: Host) -> None:
    """The destination of a migration has a socket, and takes nothing from it."""
    machine = await host.machine("move03")
    path = host.directory / "nobody.sock"
    listener = host.stack.enter_context(closing(socket.socket(socket.AF_UNIX)))
    listener.bind(str(path))
    listener.listen()
    await write_memory(machine)
    await machine.execute("migrate", uri=f"unix:{path}")


async def held_migration(host: Host) -> None:
    """A migration waits before the switch, for a manager that says nothing."""
    machine = await host.machine("move04")
    pause = {"capability": "pause-before-switchover", "state": True}
    await machine.execute("migrate-set-capabilities", capabilities=[pause])
    await machine.execute("migrate", uri=operations.NOWHERE)


async def write_memory(machine: Machine) -> None:
    """Write to memory what a migration cannot leave out, as it does zeros."""
    start, size = WRITTEN
    await machine.qtest.ask(f"memset {start:#x} {size:#x} 0x55")


async def dumps(host: Host) -> None:
    """The memory of a machine is dumped, to a disk that is full, and once more."""
    machine = await host.machine("dump01")
    await operations.dump(machine, "/dev/full")
    await operations.dump(machine)


async def crash(host: Host) -> None:
    """QEMU is killed; another one is told to quit."""
    first, second = await asyncio.gather(host.machine("lost01"), host.machine("done01"))
    await asyncio.sleep(3)
    await first.kill()
    await second.quit()


async def frozen(host: Host) -> None:
    """QEMU stands still, and so does its monitor."""
    machine = await host.machine("hung01")
    machine.signal(signal.SIGSTOP)


async def taken(host: Host) -> None:
    """Another client has the monitor, since before the exporter came."""
    await host.up(with_client(Machine(host.directory, "taken01")))


@asynccontextmanager
async def with_client(machine: Machine) -> AsyncIterator[None]:
    """Run a machine whose monitor is taken."""
    async with machine:
        reader, writer = await asyncio.open_unix_connection(machine.monitor)
        with closing(writer):
            await reader.readline()
            yield


async def not_qmp(host: Host) -> None:
    """A socket beside the others is QEMU's monitor for people."""
    hmp = ("-monitor", "unix:people.qmp,server=on,wait=off")
    await host.machine("quiet01", *hmp)


async def odd_files(host: Host) -> None:
    """A file has a name as if it were a monitor."""
    (host.directory / "notes.qmp").write_text("not a socket")


async def many_disks(host: Host) -> None:
    """A machine with two disks, for an exporter that is to show one."""
    two = (disks.ide_disk(f"disk{channel}", channel=channel) for channel in (0, 1))
    second = ("-qmp", "unix:many01.second,server=on,wait=off")
    await host.machine("many01", *second, *(part for disk in two for part in disk))


async def liar(host: Host) -> None:
    """A monitor that is none of QEMU sends an event that is not what it claims to be."""
    monitor = await fake(host, "liar01")
    while True:
        await monitor.send_event("BLOCK_IO_ERROR", {"device": ["no", "name"]})
        await asyncio.sleep(5)


async def fake(host: Host, name: str) -> FakeMonitor:
    """Start a monitor that is none of QEMU; return it when faults may happen."""
    return await host.up(FakeMonitor(host.directory / f"{name}.qmp", name=name))


FAULTS: Final[tuple[Any, ...]] = (
    taken,
    stopped_by_a_disk,
    no_space,
    reported_errors,
    backup,
    quorum,
    panics,
    watchdog,
    reboots,
    clock_and_memory,
    sleeper,
    unplug_refused,
    unplug_failed,
    screens,
    migrations,
    endless_migration,
    stuck_migration,
    held_migration,
    dumps,
    crash,
    frozen,
    not_qmp,
    odd_files,
    many_disks,
    liar,
)
