"""Real QEMUs that start, die, hang, and are wanted by two. scripts/soak has the long versions."""

from __future__ import annotations

from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING

from apart.fleet import fleet
from apart.queue import turns


if TYPE_CHECKING:
    from pathlib import Path


async def test_counts_are_those_of_the_witnesses(place: Path) -> None:
    """Six VMs that die and come back, and each end by its cause.

    QEMU may be killed between telling one monitor and telling the other.
    """
    found = await fleet(place, vms=6, seconds=10, seed=1)
    assert found.lives >= 6
    assert found.misjudged == {}
    assert found.missed == {}


async def test_the_second_exporter_takes_over(place: Path) -> None:
    """While the first is served the second is busy, and at most one waits; then it is served."""
    for turn in await turns(place, ((15, SIGKILL), (2, SIGTERM))):
        assert turn.waiting[0] <= 1
        assert turn.takeover < 15
