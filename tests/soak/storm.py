"""A storm of events while no collector takes what OpenTelemetry makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from apart.storm import dead, storm
from apart.table import mebibytes, percentiles, show


if TYPE_CHECKING:
    from pathlib import Path


RATE = 20_000
SECONDS = 60
GROWTH = 8 * 2**20
"""Bytes by which memory may differ between the second and the last third of the storm."""


@pytest.mark.parametrize("kind", ["refuses", "hangs"])
async def test_a_storm_with_a_dead_collector_loses_no_count(place: Path, kind: str) -> None:
    """Every event is counted, memory is flat, and neither another VM nor a scrape waits."""
    with dead(kind) as url:
        found = await storm(
            place, rate=RATE, seconds=SECONDS, otel={"OTEL_EXPORTER_OTLP_ENDPOINT": url}
        )
    third = len(found.resident) // 3
    middle, end = max(found.resident[third : 2 * third]), max(found.resident[2 * third :])
    show(
        f"{RATE:,} events a second for {SECONDS} s, with a collector that {kind}",
        events_sent=f"{found.sent:,}",
        events_counted=f"{sum(found.counted.values()):,.0f}",
        resident_in_the_second_third=mebibytes(middle),
        resident_in_the_last_third=mebibytes(end),
        another_VM_from_sent_to_applied=percentiles(found.late),
        scrapes=percentiles(found.scrapes),
        **{what: str(by) for what, by in found.exported.items()},
    )
    assert found.sent > 0.9 * RATE * SECONDS
    assert found.exact
    assert end - middle < GROWTH
    assert sorted(found.late)[int(0.99 * len(found.late))] < 0.1
