"""A VM that floods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apart.fairness import fairness
from apart.table import percentiles, show


if TYPE_CHECKING:
    from pathlib import Path


async def test_a_flood_delays_nobody(place: Path) -> None:
    """Beside a VM at full speed, 50 others are served within 50 ms, 99 times of 100."""
    found = await fairness(place, vms=50, every=0.1, seconds=20)
    show(
        "50 VMs with 10 events a second each",
        from_sent_to_applied=percentiles(found.quiet),
        beside_a_flood=percentiles(found.flooded),
        events_a_second_of_the_flood=f"{found.flood:,.0f}",
        scrapes_meanwhile=percentiles(found.scrapes),
    )
    assert sorted(found.flooded)[int(0.99 * len(found.flooded))] < 0.05
