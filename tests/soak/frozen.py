"""A QEMU that hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apart.frozen import freeze
from apart.table import show


if TYPE_CHECKING:
    from pathlib import Path


async def test_a_qemu_that_hangs_harms_no_other(place: Path) -> None:
    """Shown as unresponsive within 30 s; whole when it goes on, and the others all the time."""
    found = await freeze(place, patience=30, hold=30)
    show(
        "One of six QEMUs stopped by SIGSTOP for a minute",
        seconds_until_unresponsive=f"{found.unresponsive:.1f}",
        seconds_from_SIGCONT_until_whole=f"{found.again:.2f}",
        stops_of_the_others_counted=[int(n) for n in found.stops],
        slowest_scrape=f"{1000 * found.slowest:.0f} ms",
    )
