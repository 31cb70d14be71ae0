"""One good VM among fifty that mean harm, at full speed.

The exporter is a process of its own, as it is in life; so are the fifty. `HOSTILE_SECONDS` says
how long, `HOSTILE_LATENCY` within how many seconds each scrape must be answered.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import hostile
from fake_qmp import FakeMonitor
from integration.exporter import Page
from unit.qmp.watching import until


if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = float(os.environ.get("HOSTILE_SECONDS", "10"))
LATENCY = float(os.environ.get("HOSTILE_LATENCY", "2"))
MEMORY = 256 * 1024 * 1024
"""Bytes by which memory may grow, at most and at any time: fifty times 5 MiB, which is what one
connection may hold in lines that it did not end, chunks that it read and events that wait."""

PROGRAM = (sys.executable, "-m", "qmp_exporter", "--web.listen-address", "127.0.0.1:0")
ERROR = {"device": "disk0", "operation": "write", "action": "report", "nospace": False}
EVENTS = (
    ("RTC_CHANGE", {"offset": 1, "qom-path": "/machine/rtc"}),
    ("BLOCK_IO_ERROR", ERROR),
    ("POWERDOWN", None),
    ("STOP", None),
    ("RESUME", None),
    ("WATCHDOG", {"action": "none"}),
    ("GUEST_PANICKED", {"action": "run"}),
)
STATES = {"mute-0": "busy", "hung-0": "unresponsive", "human-0": "not-qmp", "half-0": "connected"}
"""What some of the fifty end up in."""


@contextmanager
def exporter(log: Path, *sockets: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run the exporter of some monitors; yield its process and its port."""
    arguments = [part for path in sockets for part in ("--qmp.socket", str(path))]
    with log.open("wb") as err, subprocess.Popen([*PROGRAM, *arguments], stderr=err) as process:
        try:
            deadline = time.monotonic() + 10
            while not (found := re.search(r"listens on http://127.0.0.1:(\d+)", log.read_text())):
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.01)
            yield process, int(found[1])
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def attackers(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Let the fifty do their worst."""
    with subprocess.Popen(
        [sys.executable, hostile.__file__, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"50 hostile monitors")
            yield process
            assert process.poll() is None
        finally:
            process.kill()


class Scraper(Thread):
    """Scrapes ten times a second, in a thread of its own, and writes down how long it took.

    Attributes:
        took: seconds of each scrape, from the request to the last byte.
        pages: the text of each.
        memory: resident bytes of a process, at each.
    """

    def __init__(self, port: int, pid: int) -> None:
        super().__init__(daemon=True)
        self.took: list[float] = []
        self.pages: list[str] = []
        self.memory: list[int] = []
        self.failed: Exception | None = None
        self._port = port
        self._pid = pid
        self._over = Event()

    def run(self) -> None:
        """Scrape until told to end."""
        try:
            while not self._over.wait(0.1):
                self.memory.append(resident(self._pid))
                began = time.perf_counter()
                page = scrape(self._port)
                self.took.append(time.perf_counter() - began)
                self.pages.append(page)
        except Exception as err:  # noqa: BLE001 - it is told in the test
            self.failed = err

    def end(self) -> None:
        """End, and fail if any scrape did."""
        self._over.set()
        self.join(30)
        if self.failed is not None:
            raise self.failed
        assert not self.is_alive()

    def __str__(self) -> str:
        """Return the latencies, for people."""
        cuts = statistics.quantiles(self.took, n=100)
        shown = {"median": cuts[49], "p90": cuts[89], "p99": cuts[98], "max": max(self.took)}
        texts = (f"{name} {1000 * took:.0f} ms" for name, took in shown.items())
        return f"{len(self.took)} scrapes of {len(self.pages[-1]) >> 10} KiB: {', '.join(texts)}"


def scrape(port: int) -> str:
    """Return the page, over a new connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        text = response.read().decode()
        assert response.status == 200, text
        return text
    finally:
        connection.close()


def resident(pid: int) -> int:
    """Bytes of a process in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def up(page: str) -> bool:
    """Whether a page says that the good VM is up."""
    return '\nqemu_up{vm="good"} 1\n' in page


async def test_a_good_vm_among_fifty_hostile_ones(tmp_path: Path) -> None:
    """Each of its events is counted; pages come in time, memory is bounded, nothing is logged."""
    log = tmp_path / "log"
    good = tmp_path / "good.sock"
    sent: Counter[str] = Counter()
    with ExitStack() as stack:
        process, port = stack.enter_context(
            exporter(log, good, *(tmp_path / name for name in hostile.SOCKETS))
        )
        async with FakeMonitor(good, name="good") as monitor:
            await monitor.wait_command("migrate-set-capabilities")
            await until(lambda: up(scrape(port)), "the good one")
            before = resident(process.pid)
            scraper = Scraper(port, process.pid)
            stack.enter_context(attackers(tmp_path))
            scraper.start()
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                for name, data in EVENTS:
                    await monitor.send_event(name, data)
                    sent[name] += 1
                await asyncio.sleep(0.01)
            assert monitor.connections == 1
            await until(lambda: _counted(scrape(port)) >= sent.total(), f"{sent.total()} events")
            for name, state in STATES.items():
                row = f'{{vm="{name}",state="{state}"}} 1\n'
                await until(lambda row=row: row in scrape(port), row)  # type: ignore[misc]
            await asyncio.to_thread(scraper.end)
            page = Page(scrape(port))
            after = resident(process.pid)
        assert process.poll() is None
    report = (
        f"\n{scraper}\nresident {before >> 20} MiB, then at most {max(scraper.memory) >> 20} MiB"
    )
    report += f" and {after >> 20} MiB; {len(log.read_text().splitlines())} lines of log"
    print(report)  # noqa: T201 - the figures are what it is also for
    rows = page.rows("qemu_events_total", vm="good")
    assert rows == {(name,): float(number) for name, number in sent.items()}
    assert page.rows("qemu_block_io_errors_total", vm="good") == {
        ("report", "disk0", "write"): float(sent["BLOCK_IO_ERROR"])
    }
    assert page["qemu_vm_stops_total", {"vm": "good", "cause": "other"}] is not None
    assert sum(page.rows("qemu_vm_stops_total", vm="good").values()) == sent["STOP"]
    assert page["qmp_exporter_connects_total", {"vm": "good"}] == 1.0
    assert page.rows("qmp_exporter_sink_errors_total") == {}
    assert all(up(text) for text in scraper.pages)
    for vm in ("storm-0", "devices-0", "clients-0", "stops-0", "unknown-0", "good~impostor-0"):
        assert sum(page.rows("qemu_events_total", vm=vm).values()) > 100, vm
    for vm in ("garbage-0", "deep-0"):
        assert page.rows("qmp_exporter_decode_errors_total", vm=vm)
    assert page["qemu_rtc_offset_seconds", {"vm": "good"}] == 1.0
    text = log.read_text()
    assert "Traceback" not in text
    assert "level=error" not in text
    assert "exception=" not in text
    assert "never retrieved" not in text
    assert max(*scraper.memory, after) - before < MEMORY, report
    assert max(scraper.took) < LATENCY, report
    assert process.returncode == 0


def _counted(page: str) -> float:
    """How many events of the good VM a page shows."""
    return sum(
        map(float, re.findall(r'^qemu_events_total\{vm="good",.*\} (.*)$', page, re.MULTILINE))
    )
