"""Twenty real QEMUs that start and die at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apart.fleet import fleet
from apart.table import percentiles, show


if TYPE_CHECKING:
    from pathlib import Path


async def test_counts_of_a_fleet_are_those_of_its_witnesses(place: Path) -> None:
    """Every event of 20 VMs for a minute, up to the last that a killed one had sent to both."""
    found = await fleet(place, vms=20, seconds=60, seed=1)
    show(
        "20 QEMUs for 60 s",
        lives=found.lives,
        ends=found.ends,
        events_heard_by_the_witnesses=found.heard,
        events_counted=found.counted,
        missed_by_the_exporter=found.missed or "none",
        ends_counted_by_another_cause=found.misjudged or "none",
        from_start_of_the_process_to_up=percentiles(found.found),
    )
    assert found.misjudged == {}
    assert found.missed == {}
