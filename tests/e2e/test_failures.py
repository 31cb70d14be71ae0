"""Failures that QEMU counts itself, and what the scraped page reads of them."""

from __future__ import annotations

from errno import EIO
from typing import TYPE_CHECKING, Any

import pytest

from e2e.page import watched
from qmp_exporter.demo import disks


if TYPE_CHECKING:
    from pathlib import Path


FAILED = "qemu_block_failed_operations_total"
MANY = 200


@pytest.mark.parametrize("operation", ["read", "write"])
async def test_every_reported_error_is_counted(place: Path, operation: Any) -> None:
    """QEMU from 9.2 on sends an event a second at most; what it counts itself is all of them."""
    fault = disks.Fault(operation, EIO)
    disk = disks.ide_disk("disk0", fault, rerror="report", werror="report")
    request = disks.read if operation == "read" else disks.write
    async with watched(place, *disk) as (machine, exporter):
        page = await exporter.until(FAILED, 0, device="disk0", operation=operation)
        assert page.rows(FAILED, "device", "operation") == {}
        for _ in range(MANY):
            await request(machine, 8)
        page = await exporter.until(FAILED, MANY, device="disk0", operation=operation)
        assert page.rows(FAILED, "device", "operation") == {("disk0", operation): MANY}
        events = page.rows("qemu_block_io_errors_total", "operation", "action")
        assert 0 < events[operation, "report"] <= MANY


@pytest.mark.parametrize("action", ["ignore", "stop"])
@pytest.mark.parametrize("operation", ["read", "write"])
async def test_errors_that_the_guest_is_not_told_of(
    place: Path, operation: Any, action: Any
) -> None:
    """Those that QEMU ignores or stops the machine for it does not count; they are events alone."""
    fault = disks.Fault(operation, EIO)
    disk = disks.ide_disk("disk0", fault, rerror=action, werror=action)
    request = disks.read if operation == "read" else disks.write
    async with watched(place, *disk) as (machine, exporter):
        await request(machine, 8)
        labels = {"device": "disk0", "operation": operation, "action": action}
        await exporter.rises("qemu_block_io_errors_total", **labels)
        (disk_,) = await machine.execute("query-blockstats")
        assert {v for k, v in disk_["stats"].items() if k.startswith("failed_")} == {0}
        page = await exporter.until(FAILED, 0, device="disk0", operation=operation)
        assert page.rows(FAILED, "device", "operation") == {}
