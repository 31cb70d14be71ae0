"""A real QEMU whose guest panics as fast as it can, and all of that counted."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.exporter import exporter
from benchmarks.ingest import GO, OURS, STOCK
from benchmarks.processes import BenchError, built, child, measured, program
from benchmarks.report import Bar, Result, Row, Table
from qmp_exporter.demo import Machine, devices, find_qemu


if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.exporter import Exporter


EVENTS: Final = 50_000
TOGETHER: Final = 500
"""Panics that are asked for before the answers are waited for."""

ARGUMENTS: Final = (*devices.PVPANIC, "-action", "panic=none")
STREAM: Final = "GUEST_PANICKED"
HOW: Final = (
    "A real QEMU, on the other core with what drives it through its qtest socket: each write to the"
    " port of pvpanic is one GUEST_PANICKED, and the guest runs on. {events:,} events a round."
)


@dataclass(frozen=True)
class Run:
    """Of one consumer.

    Attributes:
        rate: events a second that QEMU sent.
        cpu: of the consumer, in percent of a core, from the first event to the last counted.
        cost: microseconds of CPU time of the consumer for each event.
        lost: events that were not counted.
    """

    rate: float
    cpu: float
    cost: float
    lost: float


async def panics(machine: Machine, number: int) -> float:
    """Panic so often; return how many seconds that took."""
    began, left = time.monotonic(), number
    while left:
        some = min(TOGETHER, left)
        await asyncio.gather(*(devices.panic(machine) for _ in range(some)))
        left -= some
    return time.monotonic() - began


async def measure(place: Path, consumer: str, go: Path | None, number: int) -> Run:
    """Measure one consumer."""
    async with Machine(place, "vm", *ARGUMENTS) as machine:
        path = str(machine.monitor)
        with ExitStack() as stack:
            subject: Exporter | None = None
            if consumer == OURS:
                subject = stack.enter_context(exporter(place, "--qmp.socket", path))
                subject.until("qemu_up", 1)
                process = subject.child
            else:
                words = (go,) if consumer == GO and go else (*program("consumers"), "stock")
                log = place / "other.log"
                process = stack.enter_context(
                    child(*words, path, str(number), log=log, core=measured())
                )
                process.hear()
            before, began = process.cpu(), time.time()
            took = await panics(machine, number)
            if subject is not None:
                end = subject.until("qemu_events_total", number, event=STREAM)
                counted = float(number)
            else:
                told = process.hear()
                end, counted = told["end"], told["counted"]
            cpu = process.cpu() - before
    return Run(number / took, cpu / (end - began) * 100, cpu / number * 1e6, number - counted)


def run(bench: Bench) -> Result:
    """Measure every consumer, in turns."""
    if find_qemu() is None:
        return Result("real", (), skipped=("all: there is no QEMU here",))
    number = bench.size(EVENTS)
    go = built(bench.place, "ingest")
    consumers = (OURS, STOCK) if go is None else (OURS, STOCK, GO)
    runs: dict[str, list[Run]] = {name: [] for name in consumers}
    for _ in range(bench.rounds):
        for name, found in runs.items():
            with bench.folder() as place:
                found.append(asyncio.run(measure(place, name, go, number)))
    lost = sum(one.lost for found in runs.values() for one in found)
    if lost:
        raise BenchError(f"found {lost:,.0f} events lost, expected none")
    tables = (
        Table(
            "Events a second that a real QEMU sent, all of them counted",
            HOW.format(events=number),
            tuple(Row(n, "events/s", tuple(r.rate for r in f)) for n, f in runs.items()),
        ),
        Table(
            "CPU of the consumer meanwhile",
            "From the first event sent to the last one counted.",
            tuple(Row(n, "% of a core", tuple(r.cpu for r in f)) for n, f in runs.items()),
            OURS,
        ),
        Table(
            "CPU time of an event",
            "The same, by event.",
            tuple(Row(n, "µs/event", tuple(r.cost for r in f)) for n, f in runs.items()),
            OURS,
        ),
    )
    bars = (Bar("real QEMU: lost by qmp-exporter", 0, lost, "events", at_least=False),)
    skipped = () if go is not None else (f"{GO}: there is no `go` here",)
    return Result("real", tables, bars, skipped)
