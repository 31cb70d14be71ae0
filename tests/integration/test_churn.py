"""Monitors that come and go, and what they leave; scripts/soak has the long versions."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pytest

from apart.crowd import churned
from apart.fairness import fairness
from apart.folder import comes_and_goes, crowded
from apart.life import years
from qmp_exporter.discovery.find import SCAN_EVERY


if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a short name, for sockets."""
    with tempfile.TemporaryDirectory(prefix="churn") as directory:
        yield Path(directory)


async def test_connections_that_end_leave_nothing(place: Path) -> None:
    """A thousand of them: each counted, with its event; tasks, descriptors, loggers as before."""
    before, after = await years(place, vms=20, first=100, then=1000)
    assert after.objects < before.objects + 500


async def test_vms_that_go_leave_nothing(place: Path) -> None:
    """A hundred, three seconds: all events counted; after the grace no series, no task, no file."""
    found = await churned(place, vms=100, seconds=3)
    assert found.connections > 100
    assert sum(found.sent.values()) > 100
    assert found.after.objects < found.before.objects + 1000


async def test_a_full_folder_is_searched(place: Path) -> None:
    """A socket among a thousand files is found, once, and sooner than by scanning alone."""
    found = await crowded(place, files=1000, sockets=20, new=5, idle=0.1)
    assert median(found.found) < SCAN_EVERY / 2
    assert median(found.again) < SCAN_EVERY / 2


async def test_a_folder_that_comes_and_goes_is_searched(place: Path) -> None:
    """It is not there at the start, it is made, removed and made again with all above it."""
    found = await comes_and_goes(place, times=3, again=0)
    assert median(found) < SCAN_EVERY / 2


async def test_a_flood_does_not_silence_the_others(place: Path) -> None:
    """Beside a VM at full speed, what others say arrives."""
    found = await fairness(place, vms=10, every=0.1, seconds=1)
    assert found.flood > 100
    assert len(found.flooded) > 10
    assert max(found.flooded) < 10
