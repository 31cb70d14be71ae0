"""The generated pages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.catalog.metrics import ALL_VM_METRICS, FLEET_METRICS
from qmp_exporter.catalog.own_metrics import OWN_METRICS


ROOT = Path(__file__).parents[2]


def test_the_generated_pages_say_what_the_catalog_says() -> None:
    """scripts/docs would write docs/ just as it is committed."""
    found = subprocess.run(
        [sys.executable, "docs/build.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")


def test_every_metric_and_event_is_in_the_reference() -> None:
    """No metric and no event is left out of the pages."""
    metrics = (ROOT / "docs/metrics.md").read_text()
    names = [m.name for m in (*ALL_VM_METRICS, *OWN_METRICS)] + list(FLEET_METRICS)
    assert [name for name in names if f"`{name}`" not in metrics] == []
    events = (ROOT / "docs/events.md").read_text()
    assert [spec.name for spec in EVENTS if f"## {spec.name}\n" not in events] == []
