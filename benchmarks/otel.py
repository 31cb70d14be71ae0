"""OpenTelemetry on: events of one VM at full speed, to a collector, and to one that is dead."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from apart.storm import dead
from benchmarks.blast import CAPABILITIES
from benchmarks.exporter import exporter
from benchmarks.ingest import blast
from benchmarks.processes import MEBI, BenchError, beside, child, program
from benchmarks.report import Bar, Result, Row, Table


if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.exporter import Exporter


EVENTS: Final = 200_000
RATE_BAR: Final = 20_000
PATIENCE: Final = 60.0
"""Seconds in which what waits for a collector has to be sent."""

NAP: Final = 0.2
STREAM: Final = "BLOCK_IO_ERROR"

OFF: Final = "OpenTelemetry off"
ON: Final = "to a collector"
REFUSES: Final = "to a collector that refuses connections"
HANGS: Final = "to a collector that never answers"
KINDS: Final = (OFF, ON, REFUSES, HANGS)

HOW: Final = (
    "One VM sends {events:,} BLOCK_IO_ERROR as fast as they are read; each becomes a log record and"
    " an event of a span, over OTLP/HTTP with the settings that are the default. A rate is to the"
    " last event counted on /metrics, and every event was counted. The collector is a real receiver"
    " in Python beside the sender; what it got is what the exporter says that it exported."
)
FATES: Final = ("exported", "failed", "dropped")

Values = dict[tuple[str, str], list[float]]


def storm(place: Path, kind: str, number: int, values: Values) -> None:
    """Add a round of one kind."""
    path = place / "vm.qmp"
    with ExitStack() as stack:
        env, collector = {}, None
        if kind == ON:
            words = (*program("collector"),)
            log = place / "collector.log"
            collector = stack.enter_context(child(*words, log=log, core=beside()))
            env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.hear()["url"]}
        elif kind != OFF:
            url = stack.enter_context(dead("hangs" if kind == HANGS else "refuses"))
            env = {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
        sender = stack.enter_context(blast(place, path, STREAM, number, CAPABILITIES))
        subject = stack.enter_context(exporter(place, "--qmp.socket", str(path), env=env))
        sender.hear()
        before = subject.child.cpu()
        began = sender.ask(times=1)["began"]
        end = subject.until("qemu_events_total", number, vm="vm")
        values[kind, "events/s"].append(number / (end - began))
        values[f"{kind}: CPU time", "µs/event"].append(
            (subject.child.cpu() - before) / number * 1e6
        )
        values[f"{kind}: resident", "MiB"].append(subject.child.resident() / MEBI)
        if kind == OFF:
            return
        if collector is not None:
            settle(subject)
        exported = fates(subject, kind, values)
        if collector is not None:
            got = collector.ask()
            if exported != {signal: got[signal] for signal in exported}:
                raise BenchError(f"the collector got {got}, expected {exported}")


def settle(subject: Exporter) -> None:
    """Wait until nothing waits for the collector any more."""
    name, ends = "qmp_exporter_otel_queued", time.monotonic() + PATIENCE
    while waits := subject.get(name).total(name):
        if time.monotonic() > ends:
            raise BenchError(f"{name}: found {waits:,.0f} after {PATIENCE:.0f} s, expected 0")
        time.sleep(NAP)


def fates(subject: Exporter, kind: str, values: Values) -> dict[str, float]:
    """Add what became of spans and log records, and return how many were exported, by signal."""
    page = subject.get()
    exported = {}
    for signal, what in (("traces", "spans"), ("logs", "log records")):
        for fate in FATES:
            rows = page.rows(f"qmp_exporter_otel_{fate}_total")
            found = rows.get(f'signal="{signal}"'.encode(), 0.0)
            values[f"{kind}: {what} {fate}", ""].append(found)
            if fate == "exported":
                exported[signal] = found
    return exported


def run(bench: Bench) -> Result:
    """Measure all kinds."""
    values: Values = defaultdict(list)
    number = bench.size(EVENTS)
    for _ in range(bench.rounds):
        for kind in KINDS:
            with bench.folder() as place:
                storm(place, kind, number, values)
    rows = {key: Row(*key, tuple(found)) for key, found in values.items()}
    rates = tuple(rows[kind, "events/s"] for kind in KINDS)
    others = tuple(row for row in rows.values() if row not in rates)
    how = HOW.format(events=number)
    tables = (Table("Events a second", how, rates), Table("What it costs", how, others))
    bars = [
        Bar(f"OpenTelemetry {row.what}, none lost", RATE_BAR, row.middle, row.unit, at_least=True)
        for row in rates[1:]
    ]
    return Result("otel", tables, tuple(bars))
