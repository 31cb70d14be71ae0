"""Half a million events leave no trace but their counts."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from integration.exporter import exporting
from recorder import strangers


WARM_UP = 20_000
EVENTS = 500_000
ALLOWED = 5 * 1024 * 1024
"""Bytes by which the resident memory may grow."""

# In another process, so that only the exporter's memory is measured.
MONITOR = """
import asyncio, json, pathlib, sys
from fake_qmp import FakeMonitor

def batch(number):
    stamp = '"timestamp": {"seconds": 1700000000, "microseconds": 5}'
    peer = '{"host": "192.0.2.1", "service": "%d", "family": "ipv4", "websocket": false}'
    for at in range(number, number + 1000, 10):
        client = peer % (at % 50000)
        server = '"server": {"host": "::", "service": "5900", "family": "ipv6", "auth": "none",' \\
            ' "websocket": false}'
        for name, data in (
            ("BLOCK_IO_ERROR", '{"device": "d%d", "operation": "read", "action": "report",'
             ' "node-name": "#block%d", "reason": "No %d"}' % (at % 700, at, at)),
            ("BLOCK_IO_ERROR", '{"device": "", "operation": "write", "action": "ignore",'
             ' "reason": "none"}'),
            ("VNC_CONNECTED", '{%s, "client": %s}' % (server, client)),
            ("VNC_INITIALIZED", '{%s, "client": %s}' % (server, client)),
            ("VNC_DISCONNECTED", '{%s, "client": %s}' % (server, client)),
            ("VSERPORT_CHANGE", '{"id": "port%d", "open": true}' % at),
            ("UNKNOWN_%d" % at, '{"x": "%d"}' % at),
            ("RTC_CHANGE", '{"offset": %d, "qom-path": "/rtc"}' % at),
            ("GUEST_PANICKED", '{"action": "run", "info": {"type": "hyper-v", "arg1": %d}}' % at),
            ("QUORUM_REPORT_BAD", '{"type": "read", "node-name": "n%d", "sector-num": 1,'
             ' "sectors-count": 8}' % at),
        ):
            yield '{%s, "event": "%s", "data": %s}\\r\\n' % (stamp, name, data)

async def main():
    async with FakeMonitor(pathlib.Path(sys.argv[1]), name="vm") as monitor:
        await monitor.wait_command("migrate-set-capabilities")
        loop, sent = asyncio.get_running_loop(), 0
        while wanted := await loop.run_in_executor(None, sys.stdin.readline):
            for number in range(sent, sent + int(wanted), 1000):
                await monitor.send_raw("".join(batch(number)).encode())
            sent += int(wanted)
        print(json.dumps(monitor.received.decode()))

asyncio.run(main())
"""


def stormy(path: Path) -> subprocess.Popen[str]:
    """A monitor in a process of its own, which sends as many events as it is told to."""
    return subprocess.Popen(
        [sys.executable, "-c", MONITOR, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def resident() -> int:
    """Bytes of this process in memory, with no garbage among them."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.timeout(600)
async def test_half_a_million_events_are_counted_and_leave_memory_as_it_was(
    tmp_path: Path,
) -> None:
    """Errors of ever new disks, clients, ports, unknown events: all counted, none kept."""
    path = tmp_path / "vm.sock"
    async with exporting(path) as it:
        with stormy(path) as child:
            assert child.stdin is not None
            try:
                child.stdin.write(f"{WARM_UP}\n")
                child.stdin.flush()
                await counted(it.app, WARM_UP)
                await it.scrape()
                before = resident()
                child.stdin.write(f"{EVENTS}\n")
                child.stdin.flush()
                await counted(it.app, WARM_UP + EVENTS)
                page = await it.scrape()
                after = resident()
                sent, _ = await asyncio.to_thread(child.communicate)
            finally:
                child.kill()
        assert strangers(json.loads(sent).encode()) == []
    rows = page.rows("qemu_events_total", vm="vm")
    assert sum(rows.values()) == WARM_UP + EVENTS
    tenth = (WARM_UP + EVENTS) / 10
    assert rows == {
        ("BLOCK_IO_ERROR",): 2 * tenth,
        ("VNC_CONNECTED",): tenth,
        ("VNC_INITIALIZED",): tenth,
        ("VNC_DISCONNECTED",): tenth,
        ("VSERPORT_CHANGE",): tenth,
        ("other",): tenth,
        ("RTC_CHANGE",): tenth,
        ("GUEST_PANICKED",): tenth,
        ("QUORUM_REPORT_BAD",): tenth,
    }
    assert sum(page.rows("qemu_block_io_errors_total", vm="vm").values()) == 2 * tenth
    assert page.rows("qmp_exporter_decode_errors_total") == {}
    assert after - before <= ALLOWED, f"{(after - before) / 1024:.0f} KiB"


async def counted(app: object, number: int) -> None:
    """Wait until so many events are counted."""
    async with asyncio.timeout(300):
        while app.metrics.value("vm", "qemu_events_total") < number:  # type: ignore[attr-defined]  # noqa: ASYNC110
            await asyncio.sleep(0.05)
