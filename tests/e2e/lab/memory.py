"""Memory modules that cannot be unplugged.

Source: QEMU's hw/acpi/memory_hotplug.c, for the registers of the slots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from qmp_exporter.demo import Machine


SLOTS = 0xA00
FLAGS = SLOTS + 0x14
EJECT = 8


async def eject_in_vain(machine: Machine) -> None:
    """Eject what is in the first slot of a q35, whose unplugging is switched off before.

    QEMU 9.1 has removed the switch.
    """
    unattached = await machine.execute("qom-list", path="/machine/unattached")
    (bridge,) = (one["name"] for one in unattached if one["type"] == "child<ICH9-LPC>")
    switch = {"property": "memory-hotplug-support", "value": False}
    await machine.execute("qom-set", path=f"/machine/unattached/{bridge}", **switch)
    await machine.qtest.outl(SLOTS, 0)
    await machine.qtest.outb(FLAGS, EJECT)
