"""The sidecar of one VM: how soon it answers, and what it holds."""

from __future__ import annotations

import socket
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from benchmarks.exporter import START, get
from benchmarks.processes import MEBI, BenchError, child, measured
from benchmarks.report import Bar, Result, Row, Table
from benchmarks.vms import vms


if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.exporter import Answer
    from benchmarks.vms import Vms


NAP: Final = 0.002
SETTLED: Final = 1.0

FIRST: Final = ("start of the process to the first scrape", "s")
SEEN: Final = ("start of the process to the first scrape that shows the VM connected", "s")
CPU: Final = ("CPU time until then", "s")
RESIDENT: Final = ("resident, after a scrape", "MiB")
HELP: Final = ("`--version`, start to end", "s")

FIRST_BAR: Final = 1.0
RESIDENT_BAR: Final = 45.0
HOW: Final = (
    "The exporter with one VM that listens already, no OpenTelemetry and no page open; it is asked"
    f" every {NAP * 1000:.0f} ms until it answers."
)

Values = dict[tuple[str, str], list[float]]


def sidecar(place: Path, fleet: Vms, values: Values) -> None:
    """Add a round."""
    port = free()
    command = (sys.executable, "-m", "qmp_exporter", "--qmp.socket", fleet.pattern)
    words = (*command, "--web.listen-address", f"127.0.0.1:{port}")
    began = time.monotonic()
    with child(*words, log=place / "exporter.log", core=measured(), speaks=False) as process:
        answer = first(port, began)
        values[FIRST].append(time.monotonic() - began)
        while answer.total("qemu_up") != 1:
            if time.monotonic() > began + START:
                raise BenchError("the VM was not connected")
            time.sleep(NAP)
            answer = get(port)
        values[SEEN].append(time.monotonic() - began)
        values[CPU].append(process.cpu())
        time.sleep(SETTLED)
        get(port)
        values[RESIDENT].append(process.resident() / MEBI)
    fleet.alone()
    began = time.monotonic()
    with child(*command[:3], "--version", log=place / "exporter.log", core=measured()) as process:
        while process.running:
            time.sleep(NAP)
    values[HELP].append(time.monotonic() - began)


def free() -> int:
    """Return a port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        port: int = door.getsockname()[1]
        return port


def first(port: int, began: float) -> Answer:
    """Return the first answer."""
    while True:
        try:
            return get(port)
        except OSError:
            if time.monotonic() > began + START:
                raise
            time.sleep(NAP)


def run(bench: Bench) -> Result:
    """Measure all rounds."""
    values: Values = defaultdict(list)
    with bench.folder() as place, vms(place, 1) as fleet:
        for _ in range(bench.rounds):
            sidecar(place, fleet, values)
    rows = {key: Row(*key, tuple(found)) for key, found in values.items()}
    bars = (
        Bar(FIRST[0], FIRST_BAR, rows[FIRST].middle, "s", at_least=False),
        Bar(RESIDENT[0], RESIDENT_BAR, rows[RESIDENT].middle, "MiB", at_least=False),
    )
    return Result("startup", (Table("A sidecar", HOW, tuple(rows.values())),), bars)
