"""Many events at once while OpenTelemetry is on and its collector dead; in small.

`scripts/soak storm` is the same with 20,000 a second for a minute.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from typing import TYPE_CHECKING

import aiohttp
import pytest

from apart.storm import dead, storm
from fake_qmp import FakeMonitor
from integration.exporter import Page


if TYPE_CHECKING:
    from pathlib import Path


LINE = (
    b'{"timestamp": {"seconds": -1, "microseconds": -1}, "event": "BLOCK_IO_ERROR", "data":'
    b' {"device": "ide0", "operation": "read", "action": "report", "reason": "broken"}}\r\n'
)
EVENTS = 5_000
SOON = 1.0
"""Seconds for which the exporter may wait for its collector when it stops."""

SLOW = 10.0
"""Seconds more that all the rest of the stop may take on a machine that is busy."""


@pytest.mark.parametrize("kind", ["refuses", "hangs"])
async def test_a_storm_with_a_dead_collector_loses_no_count(tmp_path: Path, kind: str) -> None:
    """Each event is counted, and each log record is queued, failed or dropped: accounted for."""
    with dead(kind) as url:
        found = await storm(
            tmp_path, rate=4_000, seconds=3, otel={"OTEL_EXPORTER_OTLP_ENDPOINT": url}
        )
    assert found.sent > 1_000
    assert found.exact
    assert not any(found.exported["exported_total"].values())
    logs = sum(by.get("logs", 0) for by in found.exported.values())
    assert logs >= found.sent
    assert found.exported["queued"].get("logs", 0) <= 2048 + 512


@pytest.mark.parametrize("kind", ["refuses", "hangs"])
async def test_a_process_with_a_dead_collector_ends_in_time(tmp_path: Path, kind: str) -> None:
    """It waits for so long as it is told to, says what was not exported, and had counted all."""
    path = tmp_path / "vm.qmp"
    async with FakeMonitor(path, name="web") as monitor:
        with dead(kind) as url:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "qmp_exporter", "--qmp.socket", str(path)),
                *("--web.listen-address", "127.0.0.1:0", "--otel.shutdown-timeout", f"{SOON:g}s"),
                stderr=asyncio.subprocess.PIPE,
                env=os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": url},
            )
            assert child.stderr is not None
            try:
                line = (await child.stderr.readline()).decode()
                found = re.search(r"listens on (http://[0-9.:]+)", line)
                assert found, line
                await monitor.wait_negotiated()
                await monitor.flood(LINE, EVENTS)
                await counted(found[1], EVENTS)
                began = time.monotonic()
                child.send_signal(signal.SIGTERM)
                said = (await child.stderr.read()).decode()
                code = await child.wait()
                took = time.monotonic() - began
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()
    assert code == 0, said
    assert took < SOON + SLOW
    assert "not exported when time was up" in said
    assert "Traceback" not in said


async def counted(url: str, number: int) -> None:
    """Wait until so many events of a kind are shown."""
    series = ("qemu_events_total", {"vm": "web", "event": "BLOCK_IO_ERROR"})
    async with asyncio.timeout(30), aiohttp.ClientSession(url) as client:
        found = None
        while found != number:
            async with client.get("/metrics") as answer:
                found = Page(await answer.text())[series]
            await asyncio.sleep(0.05)
