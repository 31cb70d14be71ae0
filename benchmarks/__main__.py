"""The command: ``scripts/bench [GROUP]... [--rounds N] [--small] [--out FOLDER]``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench
from benchmarks.machine import describe, short
from benchmarks.processes import beside
from benchmarks.report import Report


GROUPS: Final = ("ingest", "real", "scrape", "fleet", "startup", "otel")
ROUNDS: Final = 5
RESULTS: Final = Path(__file__).parent / "results"


def main() -> int:
    """Measure, and write the report; return 1 if a bar does not hold."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("group", nargs="*", choices=[*GROUPS, []], help="by default, all")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each row")
    parser.add_argument("--small", action="store_true", help="small sizes, to try it out")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the report")
    given = parser.parse_args()
    os.sched_setaffinity(0, {beside()})  # it asks and reads, and is not measured
    now, began = datetime.now(UTC), time.monotonic()
    results = []
    with tempfile.TemporaryDirectory(prefix="bench") as place:
        bench = Bench(given.rounds, given.small, Path(place))
        for group in given.group or GROUPS:
            print(f"{time.monotonic() - began:6.0f} s  {group}", file=sys.stderr, flush=True)
            results.append(importlib.import_module(f"benchmarks.{group}").run(bench))
    report = Report(
        began=now.isoformat(timespec="minutes"),
        took=time.monotonic() - began,
        rounds=given.rounds,
        small=given.small,
        machine=describe(),
        results=tuple(results),
    )
    given.out.mkdir(parents=True, exist_ok=True)
    stem = given.out / f"{now:%Y-%m-%d}-{short()}"
    stem.with_suffix(".md").write_text(report.markdown())
    stem.with_suffix(".json").write_text(report.json())
    print(report.markdown(), end="")
    return int(not all(bar.holds for result in results for bar in result.bars))


if __name__ == "__main__":
    sys.exit(main())
