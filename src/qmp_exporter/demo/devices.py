"""What a guest does to its devices, done by poking their ports.

The constants are QEMU's arguments for the devices, the functions are the pokes. A reset of the
machine forgets what was poked, so each function sets up all that it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal


if TYPE_CHECKING:
    from qmp_exporter.demo.machine import Machine


WatchdogAction = Literal["reset", "shutdown", "poweroff", "pause", "debug", "none", "inject-nmi"]
PanicAction = Literal["pause", "shutdown", "exit-failure", "none"]

WATCHDOG = ("-device", "ib700")
PVPANIC = ("-device", "pvpanic", "-action", "panic=pause")
CLOCK = ("-rtc", "base=2020-01-01T00:00:00,clock=host")
MEMORY_SLOTS = ("-m", "64M,slots=4,maxmem=1G")

BALLOON_SLOT, SERIAL_SLOT = 0x10, 0x11
LEGACY = "disable-modern=on,disable-legacy=off"
BALLOON = ("-device", f"virtio-balloon-pci,id=balloon0,addr={BALLOON_SLOT:#x},{LEGACY}")

PAGE = 4096
"""Bytes of a page of the balloon."""


# Registers of a virtio device's legacy interface; virtio 1.2, section 4.1.4.8.
GUEST_FEATURES, QUEUE_PAGE, QUEUE_SIZE, QUEUE_SELECT, QUEUE_NOTIFY, STATUS = 4, 8, 12, 14, 16, 18


async def set_action(
    machine: Machine,
    *,
    watchdog: WatchdogAction | None = None,
    panic: PanicAction | None = None,
) -> None:
    """Choose what QEMU does from now on when a watchdog fires or a guest panics.

    Source: the QMP command ``set-action``, QEMU 6.0 and later.
    """
    actions = {"watchdog": watchdog, "panic": panic}
    await machine.execute("set-action", **{k: v for k, v in actions.items() if v is not None})


async def fire_watchdog(machine: Machine, action: WatchdogAction | None = None) -> None:
    """Let the watchdog `WATCHDOG` run out at once, with this action or the one set before.

    Port 0x443 starts it; the low bits choose the seconds, 0xf stands for none. Source: QEMU's
    hw/watchdog/wdt_ib700.c and Linux' drivers/watchdog/ib700wdt.c. After inject-nmi the CPU halts
    on: without firmware its interrupt controller lets no NMI through.
    """
    if action is not None:
        await set_action(machine, watchdog=action)
    await machine.qtest.outb(0x443, 0xF)


async def panic(machine: Machine) -> None:
    """Panic: bit 0 of the port of `PVPANIC`. Source: QEMU's docs/specs/pvpanic.rst."""
    await machine.qtest.outb(0x505, 1)


async def crashload(machine: Machine) -> None:
    """Crash, and load a crash kernel: bit 1 of that port."""
    await machine.qtest.outb(0x505, 2)


async def change_rtc(machine: Machine, year: int) -> None:
    """Set the last two digits of the year in the clock's chip.

    Register 9, in binary coded decimals. Source: the data sheet of the MC146818.
    """
    await machine.qtest.outb(0x70, 9)
    await machine.qtest.outb(0x71, year // 10 % 10 << 4 | year % 10)


async def acpi_ost(machine: Machine, slot: int, source: int, status: int) -> None:
    """Report the outcome (_OST) of an operation on a memory slot, with `MEMORY_SLOTS`.

    Source: QEMU's docs/specs/acpi_mem_hotplug.rst; the ACPI specification 6.3.5 for the codes.
    """
    await machine.qtest.outl(0xA00, slot)
    await machine.qtest.outl(0xA04, source)
    await machine.qtest.outl(0xA08, status)


async def plug_memory(machine: Machine, device: str, megabytes: int = 64) -> None:
    """Plug a memory module into the next free slot, with `MEMORY_SLOTS`."""
    memory = {"qom-type": "memory-backend-ram", "id": f"{device}-memory", "size": megabytes << 20}
    await machine.execute("object-add", **memory)
    await machine.execute("device_add", driver="pc-dimm", id=device, memdev=f"{device}-memory")


async def set_balloon_actual(machine: Machine, pages: int) -> None:
    """Tell QEMU, as the guest's driver of `BALLOON`, that the balloon holds so many pages.

    BALLOON_CHANGE then names the memory of the machine less `PAGE` times `pages`. Source: virtio
    1.2, sections 4.1.4.8 (legacy interface) and 5.5.4: ``actual`` is the second word of the
    configuration, which begins at byte 20.
    """
    base = await _map(machine, BALLOON_SLOT, 0xC000)
    await machine.qtest.outb(base + STATUS, 7)
    await machine.qtest.outl(base + 24, pages)


def serial_port(name: str) -> list[str]:
    """Return QEMU's arguments for a virtio-serial controller with one port, id `name`."""
    return [
        *("-device", f"virtio-serial-pci,id=serial0,addr={SERIAL_SLOT:#x},{LEGACY}"),
        *("-chardev", f"null,id={name}-backend"),
        *("-device", f"virtserialport,bus=serial0.0,chardev={name}-backend,id={name},name={name}"),
    ]


async def open_serial_port(machine: Machine, *, opened: bool) -> None:
    """Open or close the first port of `serial_port` as its guest does.

    The message PORT_OPEN for port 1 goes through the control queue, with one descriptor in a ring
    at 1 MiB. Source: virtio 1.2, sections 2.7, 4.1.4.8 and 5.3.6.
    """
    qtest = machine.qtest
    base = await _map(machine, SERIAL_SLOT, 0xC100)
    await qtest.outb(base + STATUS, 0)
    await qtest.outb(base + STATUS, 3)
    await qtest.outl(base + GUEST_FEATURES, 1 << 1)  # VIRTIO_CONSOLE_F_MULTIPORT
    await qtest.outw(base + QUEUE_SELECT, 3)  # control queue, towards QEMU
    size = await qtest.inw(base + QUEUE_SIZE)
    ring, messages = 0x100000, 0x110000
    await qtest.outl(base + QUEUE_PAGE, ring // PAGE)
    await qtest.outb(base + STATUS, 7)
    available = ring + 16 * size
    # Port, event, value: the guest is ready for port 1, and has opened or closed it.
    for index, (event, value) in enumerate(((3, 1), (6, int(opened)))):
        message = _little((1, 4), (event, 2), (value, 2))
        await qtest.write(messages + 8 * index, message)
        descriptor = _little((messages + 8 * index, 8), (len(message), 4), (0, 2), (0, 2))
        await qtest.write(ring + 16 * index, descriptor)
        await qtest.write(available + 4 + 2 * index, _little((index, 2)))
        await qtest.write(available, _little((0, 2), (index + 1, 2)))
        await qtest.outw(base + QUEUE_NOTIFY, 3)


def _little(*numbers: tuple[int, int]) -> bytes:
    """Return numbers, each with its width in bytes, in the byte order of a PC."""
    return b"".join(number.to_bytes(width, "little") for number, width in numbers)


async def _map(machine: Machine, slot: int, base: int) -> int:
    """Do what firmware would: give the PCI device in `slot` its I/O ports from `base` on.

    Ports 0xcf8 and 0xcfc are address and data of the configuration space; register 0x10 is BAR 0,
    register 4 the command, whose bits 0 to 2 switch on I/O, memory and DMA. Source: PCI 3.0, 3.2.2.
    """
    for register, value in ((0x10, base), (0x04, 7)):
        await machine.qtest.outl(0xCF8, 0x8000_0000 | slot << 11 | register)
        await machine.qtest.outl(0xCFC, value)
    return base
