"""Errors of disks and quorums, and what the scraped page reads of them."""

from __future__ import annotations

from errno import EIO, ENOSPC, EPIPE
from typing import TYPE_CHECKING, Any, get_args

import pytest

from e2e.lab.generation import shows
from e2e.lab.scenario import scenario
from e2e.page import watched
from qmp_exporter.demo import disks


if TYPE_CHECKING:
    from pathlib import Path


@shows("BLOCK_IO_ERROR")
@pytest.mark.parametrize("action", ["report", "ignore"])
@pytest.mark.parametrize("operation", ["read", "write"])
async def test_error_that_does_not_stop(place: Path, operation: Any, action: Any) -> None:
    """An error is counted by what failed and what QEMU did; disk and machine go on."""
    fault = disks.Fault(operation, EIO)
    disk = disks.ide_disk("disk0", fault, rerror=action, werror=action)
    async with watched(place, *disk) as (machine, exporter):
        request = disks.read if operation == "read" else disks.write
        await request(machine, 8)
        labels = {"device": "disk0", "operation": operation, "action": action}
        page = await exporter.rises("qemu_block_io_errors_total", **labels)
        errors = page.rows("qemu_block_io_errors_total", "device", "operation", "action")
        assert set(errors) == {("disk0", operation, action)}
        assert page.rows("qemu_block_nospace_errors_total", "device") == {}
        assert page.rows("qemu_block_io_status", "device", "status") == {("disk0", "ok"): 1}
        assert page.status() == "running"


FULL = ("write", ENOSPC, "nospace")
BROKEN = [("read", EIO, "failed"), ("write", EIO, "failed"), FULL]


@shows("BLOCK_IO_ERROR", "STOP", "RESUME")
@pytest.mark.parametrize(("operation", "errno", "state"), BROKEN)
async def test_error_that_stops(place: Path, operation: Any, errno: int, state: str) -> None:
    """An error may stop the machine: the disk is in that state until the machine goes on."""
    werror: Any = "enospc" if errno == ENOSPC else "stop"
    fault = disks.Fault(operation, errno)
    disk = disks.ide_disk("disk0", fault, rerror="stop", werror=werror)
    async with watched(place, *disk) as (machine, exporter):
        request = disks.read if operation == "read" else disks.write
        await request(machine, 8)
        page = await exporter.until("qemu_vm_stops_total", 1, cause="io-error")
        errors = page.rows("qemu_block_io_errors_total", "device", "operation", "action")
        assert errors == {("disk0", operation, "stop"): 1}
        full = page.rows("qemu_block_nospace_errors_total", "device")
        assert full == ({"disk0": 1} if errno == ENOSPC else {})
        assert page.rows("qemu_block_io_status", "device", "status") == {("disk0", state): 1}
        assert page.status() == "io-error"
        await disks.repair(machine, "disk0")
        await machine.execute("cont")
        page = await exporter.until("qemu_vm_running", 1)
        assert page.rows("qemu_block_io_status", "device", "status") == {("disk0", "ok"): 1}
        assert set(page.rows("qemu_vm_stopped_seconds_total", "cause")) == {"io-error"}


async def test_retry_that_fails_again(place: Path) -> None:
    """A machine that goes on without a cure stops at once, and both stops have their cause."""
    disk = disks.ide_disk("disk0", disks.Fault("read", EIO), rerror="stop")
    async with watched(place, *disk) as (machine, exporter):
        await disks.read(machine, 8)
        await exporter.until("qemu_vm_stops_total", 1, cause="io-error")
        await machine.execute("cont")
        page = await exporter.until("qemu_vm_stops_total", 2, cause="io-error")
        assert page.rows("qemu_vm_stops_total", "cause") == {"io-error": 2}
        page = await exporter.until("qemu_block_io_status", 1, status="failed")
        assert page.status() == "io-error"


def failing(node: str) -> list[str]:
    """Return the arguments of a node that fails every read."""
    rule = "inject-error.0.event=none,inject-error.0.iotype=read,inject-error.0.errno=5"
    image = "image.driver=null-co,image.size=1048576,image.read-zeroes=on"
    return [f"driver=blkdebug,{node},{image},{rule}"]


NAMES = {
    "id of the device": (
        "disk0",
        *("-blockdev", *failing("node-name=node0")),
        *("-device", "ide-hd,bus=ide.0,id=disk0,drive=node0,rerror=report"),
    ),
    "id of the drive": (
        "drive0",
        *("-drive", *failing("if=none,id=drive0,rerror=report")),
        *("-device", "ide-hd,bus=ide.0,id=disk0,drive=drive0"),
    ),
    "name of the node": (
        "node0",
        *("-blockdev", *failing("node-name=node0")),
        *("-device", "ide-hd,bus=ide.0,drive=node0,rerror=report"),
    ),
}


@pytest.mark.parametrize("kind", NAMES)
async def test_name_of_a_disk(place: Path, kind: str) -> None:
    """A disk has one name: the series that is there at 0 is the one that rises."""
    name, *arguments = NAMES[kind]
    counter = "qemu_block_io_errors_total"
    async with watched(place, *arguments) as (machine, exporter):
        assert (await exporter.page()).labels(counter, "device") == {name}
        await disks.read(machine, 8)
        page = await exporter.rises(counter, operation="read", action="report")
        assert page.labels(counter, "device") == {name}
        assert page.rows("qemu_block_io_status", "device") == {name: 1}


FIRMWARE = ("-S", "-bios", "bios-256k.bin")


@pytest.mark.parametrize(
    ("device", "name"), [("virtio-blk-pci,id=disk1", "disk1"), ("virtio-blk-pci", "node0")]
)
async def test_name_of_a_virtio_disk(place: Path, device: str, name: str) -> None:
    """The name of a virtio disk is its id, though QEMU calls its device virtio-backend."""
    counter = "qemu_block_io_errors_total"
    disk = ["-blockdev", *failing("node-name=node0")]
    disk += ["-device", f"{device},drive=node0,bootindex=0"]
    async with watched(place, *FIRMWARE, *disk) as (machine, exporter):
        await machine.execute("cont")  # the firmware looks for something to boot
        page = await exporter.rises(counter, operation="read", action="report")
        assert set(page.rows(counter, "device", "action")) == {(name, "report")}
        assert page.rows("qemu_block_io_status", "device") == {name: 1}


# Quorum


@shows("QUORUM_REPORT_BAD")
async def test_outvoted_child(place: Path) -> None:
    """A child of a quorum that differs from the others is counted by its node."""
    async with watched(place, *disks.quorum_disk(place, "vm", contents=(0, 0, 1))) as (
        machine,
        exporter,
    ):
        await disks.quorum_io(machine, "read")
        await exporter.rises("qemu_quorum_bad_reports_total", node="quorum0-2", operation="read")
        page = await exporter.rises("qemu_quorum_bad_sectors_total", node="quorum0-2")
        assert set(page.rows("qemu_quorum_bad_reports_total", "node", "operation")) == {
            ("quorum0-2", "read")
        }


@shows("QUORUM_REPORT_BAD")
@pytest.mark.parametrize("operation", get_args(disks.Operation))
async def test_failing_child(place: Path, operation: disks.Operation) -> None:
    """A child of a quorum that fails is counted by what it failed."""
    disk = disks.quorum_disk(place, "vm", faults=(disks.Fault(operation, EPIPE),))
    async with watched(place, *disk) as (machine, exporter):
        await disks.quorum_io(machine, operation)
        page = await exporter.rises("qemu_quorum_bad_reports_total", operation=operation)
        reports = page.rows("qemu_quorum_bad_reports_total", "node", "operation")
        assert set(reports) == {("quorum0-0", operation)}
        sectors = page.rows("qemu_quorum_bad_sectors_total", "node", "operation", zero=True)
        assert set(sectors) == {("quorum0-0", operation)}


@shows("QUORUM_FAILURE")
@pytest.mark.parametrize("attached", [False, True])
async def test_no_quorum(place: Path, *, attached: bool) -> None:
    """A request without a quorum is counted by the quorum, which is there at 0 if a disk has it."""
    counters = ("qemu_quorum_failures_total", "qemu_quorum_failure_sectors_total")
    disk = disks.quorum_disk(place, "vm", contents=(0, 1, 2))
    if attached:
        # With its geometry given QEMU has no need to read the first sector when it starts.
        geometry = "cyls=16,heads=16,secs=63"
        disk += ["-device", f"ide-hd,bus=ide.0,id=disk0,drive=quorum0,{geometry}"]
    async with watched(place, *disk) as (machine, exporter):
        page = await exporter.page()
        before = {"quorum0": 0} if attached else {}
        for counter in counters:
            assert page.rows(counter, "reference", zero=True) == before
        await disks.quorum_io(machine, "read")
        for counter in counters:
            page = await exporter.rises(counter, reference="quorum0")
            assert set(page.rows(counter, "reference")) == {"quorum0"}


@pytest.mark.parametrize("operation", get_args(disks.Operation))
@shows("QUORUM_REPORT_BAD")
async def test_no_quorum_of_errors(place: Path, operation: disks.Operation) -> None:
    """Two children that fail a read or write are a failure of the whole; of a flush none is told.

    Each of the two is reported. Source: QEMU's block/quorum.c, quorum_has_too_much_io_failed.
    """
    disk = disks.quorum_disk(place, "vm", faults=(disks.Fault(operation, EPIPE),) * 2)
    async with scenario(place, *disk) as vm:
        await disks.quorum_io(vm.machine, operation)
        wanted = ["QUORUM_FAILURE"] if operation != "flush" else []
        for node in ("quorum0-0", "quorum0-1"):
            page = await vm.exporter.rises("qemu_quorum_bad_reports_total", node=node)
        if wanted:
            page = await vm.exporter.rises("qemu_quorum_failures_total", reference="quorum0")
        assert page.events() == {"QUORUM_REPORT_BAD", *wanted}
        reports = page.rows("qemu_quorum_bad_reports_total", "node", "operation")
        assert set(reports) == {("quorum0-0", operation), ("quorum0-1", operation)}
        assert {one["error"] for one in vm.heard("QUORUM_REPORT_BAD")} == {"Broken pipe"}


async def test_sectors(place: Path) -> None:
    """The size of a request that a quorum could not answer is counted in sectors."""
    disk = disks.quorum_disk(place, "vm", contents=(0, 1, 2))
    async with watched(place, *disk) as (machine, exporter):
        await machine.hmp('qemu-io quorum0 "read 0 4096"')
        page = await exporter.rises("qemu_quorum_failures_total", reference="quorum0")
        times = page.value("qemu_quorum_failures_total") or 0
        assert page.value("qemu_quorum_failure_sectors_total", reference="quorum0") == 8 * times


async def test_sectors_of_a_child(place: Path) -> None:
    """The size of a request in which a child was outvoted is counted in sectors."""
    disk = disks.quorum_disk(place, "vm", contents=(0, 0, 1))
    async with watched(place, *disk) as (machine, exporter):
        await machine.hmp('qemu-io quorum0 "read 0 4096"')
        page = await exporter.rises("qemu_quorum_bad_reports_total", node="quorum0-2")
        times = page.value("qemu_quorum_bad_reports_total") or 0
        assert page.value("qemu_quorum_bad_sectors_total", node="quorum0-2") == 8 * times
