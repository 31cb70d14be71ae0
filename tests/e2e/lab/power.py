"""What a guest does to its power management: it shuts down, and it goes to sleep.

Sources: the data sheet of the PIIX4 (82371AB), section 7, for function 3; the ACPI specification
6.5, section 4.8.3.2.1, for the register; QEMU's hw/acpi/core.c for the types of sleep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal


if TYPE_CHECKING:
    from qmp_exporter.demo import Machine


PORTS = 0x600
CONTROL = PORTS + 4
SLEEP_ENABLE = 1 << 13
TYPES = {"off": 0, "memory": 1, "disk": 2}


async def sleep(machine: Machine, kind: Literal["off", "memory", "disk"]) -> None:
    """Power off (ACPI S5), or sleep in memory (S3) or on disk (S4)."""
    # What firmware would do: give the function its ports (register 0x40), and switch them on.
    for register, value in ((0x40, PORTS | 1), (0x80, 1)):
        await machine.qtest.outl(0xCF8, 0x8000_0000 | 1 << 11 | 3 << 8 | register)
        await machine.qtest.outl(0xCFC, value)
    await machine.qtest.outw(CONTROL, SLEEP_ENABLE | TYPES[kind] << 10)
