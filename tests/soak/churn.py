"""A thousand VMs that come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apart.crowd import churned
from apart.table import mebibytes, percentiles, show


if TYPE_CHECKING:
    from pathlib import Path


async def test_a_thousand_vms_leave_nothing(place: Path) -> None:
    """After 30 s of coming and going all is counted, and after the grace nothing is left."""
    found = await churned(place, vms=1000, seconds=30)
    show(
        "1 000 fake VMs for 30 s",
        lives=found.lives,
        connections=found.connections,
        events_sent_and_counted=sum(found.sent.values()),
        ends_counted=found.exits,
        tasks=f"{found.before.tasks}, then {found.after.tasks}",
        descriptors=f"{found.before.files}, then {found.after.files}",
        loggers=f"{found.before.loggers}, then {found.after.loggers}",
        objects=f"{found.before.objects}, then {found.after.objects}",
        resident=" ".join(
            mebibytes(one.resident) for one in (found.before, found.most, found.after)
        ),
        scrapes_meanwhile=percentiles(found.scrapes),
    )
