"""Two exporters on one monitor."""

from __future__ import annotations

from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING

from apart.queue import turns
from apart.table import show


if TYPE_CHECKING:
    from pathlib import Path


async def test_the_second_exporter_waits_for_its_turn(place: Path) -> None:
    """After ten minutes at most one waits; the second is there within 10 s of the first's end."""
    found = await turns(place, ((600, SIGKILL), (60, SIGTERM)))
    for turn in found:
        show(
            f"Busy for {turn.busy:g} s",
            waiting_in_the_kernel_at_most=turn.waiting[0],
            waiting_at_the_end=turn.waiting[1],
            seconds_from_the_end_by=f"{turn.end}: {turn.takeover:.2f}",
        )
    for turn in found:
        assert turn.waiting[1] <= 1
        assert turn.takeover < 10
