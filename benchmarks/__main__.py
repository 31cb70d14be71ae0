"""The command: ``scripts/bench [GROUP]... [--rounds N] [--small] [--out FOLDER]``."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import tempfile
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench
from benchmarks.machine import describe, short
from benchmarks.processes import beside
from benchmarks.report import Report, Result


GROUPS: Final = ("ingest", "real", "scrape", "fleet", "startup", "otel", "libvirt")
ROUNDS: Final = 5
RESULTS: Final = Path(__file__).parent / "results"


def main() -> int:
    """Measure, and write the report; return 1 if a group failed, or a bar does not hold."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure qmp-exporter beside others, and write a report.",
        epilog=f"Groups: {', '.join(GROUPS)}.",
    )
    parser.add_argument("group", nargs="*", help="what to measure; by default, everything")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each row: {ROUNDS}")
    parser.add_argument("--small", action="store_true", help="small sizes, to try it out")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the report")
    given = parser.parse_args()
    for group in given.group:
        if group not in GROUPS:
            parser.error(f"group: found {group}, expected {', '.join(GROUPS)}")
    if given.rounds < 1:
        parser.error(f"--rounds: found {given.rounds}, expected at least 1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended
    os.sched_setaffinity(0, {beside()})  # it asks and reads, and is not measured
    now, began = datetime.now(UTC), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench") as place:
        bench = Bench(given.rounds, given.small, Path(place))
        results = [measured(group, bench, began) for group in given.group or GROUPS]
    report = Report(
        began=now.isoformat(timespec="minutes"),
        took=time.monotonic() - began,
        rounds=given.rounds,
        small=given.small,
        machine=describe(),
        results=tuple(results),
    )
    given.out.mkdir(parents=True, exist_ok=True)
    stem = given.out / "-".join((f"{now:%Y-%m-%d-%H%M}", *given.group, short()))
    stem.with_suffix(".md").write_text(report.markdown())
    stem.with_suffix(".json").write_text(report.json())
    print(report.markdown(), end="")
    return int(not report.holds)


def measured(group: str, bench: Bench, began: float) -> Result:
    """Measure a group; what was measured before it is kept if it fails."""
    print(f"{time.monotonic() - began:6.0f} s  {group}", file=sys.stderr, flush=True)
    try:
        found: Result = importlib.import_module(f"benchmarks.{group}").run(bench)
    except Exception as error:  # noqa: BLE001 - whatever it is, the report says so
        traceback.print_exc()
        return Result(group, (), failed=f"{type(error).__name__}: {error}")
    return found


if __name__ == "__main__":
    sys.exit(main())
