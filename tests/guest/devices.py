"""What the guest's drivers do to their devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from linux.guest import BAD_SECTOR, MEMORY


if TYPE_CHECKING:
    from e2e.page import Exporter
    from linux.guest import Guest

pytestmark = pytest.mark.asyncio(loop_scope="session")

DAY = 86400
FAILED = "qemu_block_failed_operations_total"


async def test_clock(guest: Guest, exporter: Exporter) -> None:
    """A guest that sets its clock a day ahead is a day ahead, until it sets it back."""
    for change, offset in ((DAY, DAY), (-DAY, 0)):
        await guest.run(f"date -s @$(($(date +%s) + {change})) && hwclock -u -w")
        near = pytest.approx(offset, abs=3600)
        await exporter.until("qemu_rtc_offset_seconds", near)


async def test_balloon(guest: Guest, exporter: Exporter) -> None:
    """The guest gives memory when it is asked to, and gets it back."""
    await exporter.until("qemu_balloon_actual_bytes", MEMORY)
    before = await free_memory(guest)
    await guest.execute("balloon", value=MEMORY - (64 << 20))
    await exporter.until("qemu_balloon_actual_bytes", MEMORY - (64 << 20))
    assert before - await free_memory(guest) > 32 << 20
    await guest.execute("balloon", value=MEMORY)
    page = await exporter.until("qemu_balloon_actual_bytes", MEMORY)
    assert "BALLOON_CHANGE" in page.events()


async def free_memory(guest: Guest) -> int:
    """Return how much memory the guest has left, in bytes."""
    return int((await guest.run("grep MemFree /proc/meminfo")).split()[1]) << 10


async def test_serial_port(guest: Guest, exporter: Exporter) -> None:
    """A port is open for as long as a process of the guest has it open."""
    process = await guest.run("sleep 100000 <>$(echo /dev/vport*p1) >/dev/null 2>&1 & echo $!")
    await exporter.until("qemu_virtio_serial_port_open", 1, port="port0")
    await guest.run(f"kill {process}")
    await exporter.until("qemu_virtio_serial_port_open", 0, port="port0")


BAD = {
    "read": f"dd if=/dev/vda of=/dev/null bs=4096 count=1 skip={BAD_SECTOR // 8}",
    "write": f"dd if=/dev/zero of=/dev/vda bs=4096 count=1 seek={BAD_SECTOR // 8} conv=fsync",
}
"""Commands that fail."""


@pytest.mark.parametrize("operation", BAD)
async def test_bad_sector(guest: Guest, exporter: Exporter, operation: str) -> None:
    """Each error that the guest sees is counted, however many QEMU tells of."""
    disk = {"device": "disk0", "operation": operation}
    before = (await exporter.page()).value(FAILED, **disk) or 0
    await guest.run("dmesg -c; echo 0 >/sys/block/vda/queue/read_ahead_kb")
    for _ in range(3):
        said, status = await guest.tries(BAD[operation])
        assert (status, "Input/output error" in said) == (1, True)
    seen = int(await guest.run(f"dmesg | grep -ci 'I/O error, dev vda, sector.*{operation}'"))
    assert seen >= 3
    await exporter.until(FAILED, before + seen, **disk)
    page = await exporter.rises("qemu_block_io_errors_total", **disk, action="report")
    told = page.value("qemu_block_io_errors_total", **disk, action="report")
    assert told is not None
    assert told <= seen
    assert page.value(FAILED, **disk) == before + seen
    assert page.status() == "running"


async def test_tray(guest: Guest, exporter: Exporter) -> None:
    """A guest that ejects a disc opens the tray, and closes it when it uses the drive again."""
    await guest.run("echo 1 >/proc/sys/dev/cdrom/autoeject && : </dev/sr0")  # ejects when closed
    await exporter.until("qemu_block_tray_open", 1, device="cd0")
    await guest.run("echo 0 >/proc/sys/dev/cdrom/autoeject && : </dev/sr0")
    await exporter.until("qemu_block_tray_open", 0, device="cd0")


async def test_tray_of_a_guest_that_reboots(guest: Guest, exporter: Exporter) -> None:
    """A reset closes the tray without an event: the page does not say that it is open."""
    await guest.run("echo 1 >/proc/sys/dev/cdrom/autoeject && : </dev/sr0")
    await exporter.until("qemu_block_tray_open", 1, device="cd0")
    guest.tell("reboot -f")
    await guest.booted()
    page = await exporter.rises("qemu_vm_reboots_total", guest="true")
    (drive,) = (disk for disk in await guest.execute("query-block") if disk["removable"])
    assert not drive["tray_open"]
    assert not page.value("qemu_block_tray_open", device="cd0")


async def test_network_card(guest: Guest, exporter: Exporter) -> None:
    """A card that is plugged in works in the guest, and goes when the guest lets go of it."""
    await guest.execute("netdev_add", type="hubport", id="cable", hubid=0)
    await guest.execute("device_add", driver="virtio-net-pci", id="card0", netdev="cable")
    card = await guest.run(f"{WAIT} /sys/class/net/eth*; basename /sys/class/net/eth*")
    await guest.run(f"ip link set {card.strip()} up promisc on")
    await exporter.rises("qemu_events_total", event="NIC_RX_FILTER_CHANGED")
    await guest.execute("device_del", id="card0")
    page = await exporter.until("qemu_devices_deleted_total", 2)  # the device, and its virtio half
    assert "DEVICE_DELETED" in page.events()
    assert (await guest.tries("ls /sys/class/net/eth*"))[1]
    await guest.execute("netdev_del", id="cable")


WAIT = "wait_for() { until [ -e $1 ]; do sleep 0.1; done; }; wait_for"
