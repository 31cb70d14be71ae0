"""A year of life in small."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apart.life import years
from apart.table import mebibytes, show


if TYPE_CHECKING:
    from pathlib import Path


ALLOWED = 5 * 2**20
"""Bytes by which the exporter may grow."""


async def test_a_hundred_thousand_connections_leave_nothing(place: Path) -> None:
    """Tasks, descriptors and loggers are as before; memory is within 5 MiB of the first 10 000."""
    before, after = await years(place, vms=100, first=10_000, then=90_000)
    show(
        "100 000 connections of 100 fake VMs",
        tasks=f"{before.tasks}, then {after.tasks}",
        descriptors=f"{before.files}, then {after.files}",
        loggers=f"{before.loggers}, then {after.loggers}",
        objects=f"{before.objects}, then {after.objects}",
        resident_after_10_000=mebibytes(before.resident),
        resident_after_100_000=mebibytes(after.resident),
        CPU_time_per_connection=f"{(after.cpu - before.cpu) / 90:.2f} ms",
    )
    assert after.resident - before.resident < ALLOWED
