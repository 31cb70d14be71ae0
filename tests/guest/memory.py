"""Memory that is plugged in and taken out again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest


if TYPE_CHECKING:
    from e2e.page import Exporter
    from linux.guest import Guest

pytestmark = pytest.mark.asyncio(loop_scope="session")

SIZE = 128 << 20
"""Bytes; Linux takes memory in blocks of this size."""

REPORTS = "qemu_acpi_device_ost_total"


async def plug(guest: Guest, exporter: Exporter, name: str) -> None:
    """Plug a module in, which the guest takes into use."""
    before = (await exporter.page()).value(REPORTS, **report("device-check", "success"))
    backend = {"qom-type": "memory-backend-ram", "id": f"{name}-memory", "size": SIZE}
    await guest.execute("object-add", **backend)
    await guest.execute("device_add", driver="pc-dimm", id=name, memdev=f"{name}-memory")
    await exporter.until(REPORTS, (before or 0) + 1, **report("device-check", "success"))


async def unplug(guest: Guest, exporter: Exporter, name: str) -> None:
    """Have the guest give a module back."""
    await guest.execute("device_del", id=name)
    await exporter.until(REPORTS, 1, **report("eject-request", "success"))
    await guest.execute("object-del", id=f"{name}-memory")


def report(source: str, status: str) -> dict[str, str]:
    """Return labels of the guest's report on a slot."""
    return {"slot_type": "DIMM", "source": source, "status": status}


async def total(guest: Guest) -> int:
    """Return how much memory the guest has, in bytes."""
    return int((await guest.run("grep MemTotal /proc/meminfo")).split()[1]) << 10


async def test_module(guest: Guest, exporter: Exporter) -> None:
    """A module is reported when the guest uses it, when it begins to let go, and when it has."""
    before = await total(guest)
    await plug(guest, exporter, "dimm0")
    assert await total(guest) - before == SIZE
    await unplug(guest, exporter, "dimm0")
    assert await total(guest) == before
    page = await exporter.until("qemu_devices_deleted_total", 1)
    assert page.rows(REPORTS, "slot_type", "source", "status") == {
        ("DIMM", "device-check", "success"): 1,
        ("DIMM", "eject-request", "ejection-in-progress"): 1,
        ("DIMM", "eject-request", "success"): 1,
    }


async def test_module_that_the_guest_keeps(guest: Guest, exporter: Exporter) -> None:
    """A guest that does not give a module back says so; it goes when the guest has no objection."""
    await plug(guest, exporter, "dimm1")
    switch = "/sys/firmware/acpi/hotplug/memory/enabled"
    await guest.run(f"echo 0 >{switch}")
    await guest.execute("device_del", id="dimm1")
    page = await exporter.until(REPORTS, 1, **report("eject-request", "ejection-not-supported"))
    assert page.value("qemu_devices_deleted_total") == 0
    (there,) = await guest.execute("query-memory-devices")
    assert there["data"]["id"] == "dimm1"
    await guest.run(f"echo 1 >{switch}")
    await unplug(guest, exporter, "dimm1")
    await exporter.until("qemu_devices_deleted_total", 1)


async def test_memory_device(guest: Guest, exporter: Exporter) -> None:
    """A virtio-mem device shows what the guest has taken of it, and given back."""
    await guest.execute("object-add", **{"qom-type": "memory-backend-ram", "id": "m", "size": SIZE})
    await guest.execute("device_add", driver="virtio-mem-pci", id="mem0", memdev="m")
    for size in (SIZE, 0):
        wanted = {"property": "requested-size", "value": size}
        await guest.execute("qom-set", path="/machine/peripheral/mem0", **wanted)
        await exporter.until("qemu_memory_device_size_bytes", size, device="mem0")
