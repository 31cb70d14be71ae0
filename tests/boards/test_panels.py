"""What the dashboards ask has an answer: on real machines, from a real Prometheus.

That the alerts reach an Alertmanager takes minutes: scripts/dashboards-e2e shows that.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from boards.asking import look, queries
from boards.stage import stage
from e2e.lab import generation


PATIENCE = 60.0


async def test_no_panel_is_empty() -> None:
    """Every expression of every panel, annotation and rule returns data once there was an event."""
    generation.binary()
    with tempfile.TemporaryDirectory(prefix="boards-") as folder:
        async with stage(Path(folder)) as it:
            it.host.began.set()
            empty = list(queries())
            try:
                async with asyncio.timeout(PATIENCE):
                    while empty:
                        await asyncio.sleep(2)
                        found = [(one, await look(it.client, one, it.began)) for one in empty]
                        empty = [one for one, (row, _) in found if not row.samples]
            except TimeoutError:
                pass
            it.host.check()
    assert [f"{one.board}: {one.panel}: {one.expr}" for one in empty] == []
