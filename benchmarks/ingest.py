"""Events of one VM that sends as fast as it is read, and all of them counted."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.blast import CAPABILITIES, DISKS, SOME, different, lines
from benchmarks.exporter import exporter
from benchmarks.processes import beside, built, child, measured, program
from benchmarks.report import Bar, Result, Row, Table


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.processes import Child

    Take = Callable[[Path, str, int], "Run"]


OURS: Final = "qmp-exporter"
STOCK: Final = "qemu.qmp, `async for` over `events`"
COUNTER: Final = "qemu.qmp and counters of prometheus-client"
GO: Final = "go-qemu and client_golang, one core"
GO_ALL: Final = "go-qemu and client_golang, all cores"
FLOOR: Final = "bytes read and split, nothing decoded"

NUMBERS: Final = {
    OURS: 1_000_000,
    STOCK: 120_000,
    COUNTER: 100_000,
    GO: 400_000,
    GO_ALL: 400_000,
    FLOOR: 2_000_000,
}
"""Events of a round: each takes a second or a few."""

STORM: Final = "BLOCK_IO_ERROR"
STREAMS: Final = {
    STORM: "BLOCK_IO_ERROR",
    DISKS: f"BLOCK_IO_ERROR of {SOME} disks in turn",
    "mixed": "captured events of all kinds",
}

STOCK_TIMES: Final = 8.0
GO_TIMES: Final = 2.0

HOW: Final = (
    "One VM sends over a unix socket, {stream}, as QEMU 7.2 did but stamped with the time of the"
    " run, as fast as it is read; {kinds} different but for the stamp. The sender has a core of"
    " its own, all its bytes are made beforehand, and it answers commands as QEMU would. The others"
    " decode and count, and do not know what an event means for the machine. qmp-exporter runs as"
    " a process as people run it, and its row ends when /metrics shows the last event; the others"
    " end when they have counted it. {numbers} events a round. Lost: {lost}."
)
CPU: Final = "Of the consumer alone, user and system, in the runs above."


@dataclass(frozen=True)
class Run:
    """One consumer and one stream.

    Attributes:
        rate: events a second, from the first byte sent to the last event counted.
        cpu: microseconds of CPU time of the consumer for each event.
        lost: events that were not counted.
    """

    rate: float
    cpu: float
    lost: int


def ours(place: Path, stream: str, number: int) -> Run:
    """Measure the exporter."""
    path = place / "vm.qmp"
    with (
        blast(place, path, stream, number, CAPABILITIES) as sender,
        exporter(place, "--qmp.socket", str(path)) as subject,
    ):
        sender.hear()
        before = subject.child.cpu()
        told = sender.ask(times=1)
        end = subject.until("qemu_events_total", number, vm="vm")
        cpu = subject.child.cpu() - before
        return Run(number / (end - told["began"]), cpu / number * 1e6, 0)


def other(
    command: tuple[str | Path, ...], core: int | None, place: Path, stream: str, number: int
) -> Run:
    """Measure another consumer, which is given the path of the socket and the number."""
    path = place / "vm.qmp"
    with (
        blast(place, path, stream, number, "qmp_capabilities") as sender,
        child(*command, path, str(number), log=place / "other.log", core=core) as subject,
    ):
        sender.hear()
        subject.hear()
        before = subject.cpu()
        sender.tell(times=1)
        told = subject.hear()
        cpu = subject.cpu() - before
        began = sender.hear()["began"]
        rate = told["counted"] / (told["end"] - began)
        return Run(rate, cpu / number * 1e6, number - int(told["counted"]))


@contextmanager
def blast(place: Path, path: Path, stream: str, number: int, last: str) -> Iterator[Child]:
    """Run the sender, and remove its socket at the end."""
    words = (*program("blast"), path, stream, str(number), last)
    try:
        with child(*words, log=place / "blast.log", core=beside()) as sender:
            sender.hear()
            yield sender
    finally:
        path.unlink(missing_ok=True)


def consumers(bench: Bench) -> dict[str, Take]:
    """Return what measures each consumer that there is here."""
    found: dict[str, Take] = {OURS: ours}
    for name, kind in ((STOCK, "stock"), (COUNTER, "counter"), (FLOOR, "floor")):
        found[name] = partial(other, (*program("consumers"), kind), measured())
    go = built(bench.place, "ingest")
    if go is not None:
        found[GO] = partial(other, (go,), measured())
        found[GO_ALL] = partial(other, (go,), None)
    return found


def run(bench: Bench) -> Result:
    """Measure every consumer on every stream."""
    takes = consumers(bench)
    tables: list[Table] = []
    bars: list[Bar] = []
    for stream, words in STREAMS.items():
        runs: dict[str, list[Run]] = {name: [] for name in takes}
        for _ in range(bench.rounds):
            for name, take in takes.items():
                with bench.folder() as place:
                    runs[name].append(take(place, stream, bench.size(NUMBERS[name])))
        numbers = ", ".join(f"{bench.size(NUMBERS[name]):,} for {name}" for name in takes)
        lost = sum(one.lost for these in runs.values() for one in these)
        number = different(lines(stream))
        kinds = "no two are" if number == 1 else f"{number} are"
        how = HOW.format(stream=words, kinds=kinds, numbers=numbers, lost=lost)
        rates = [Row(n, "events/s", tuple(r.rate for r in these)) for n, these in runs.items()]
        costs = [Row(n, "µs/event", tuple(r.cpu for r in these)) for n, these in runs.items()]
        rate = Table(f"Events a second: {words}", how, tuple(rates), OURS, "more")
        tables += [rate, Table(f"CPU time of an event: {words}", CPU, tuple(costs), OURS)]
        bars.append(Bar(f"{words}: lost by qmp-exporter", 0, lost, "events", at_least=False))
        for name, times in ((STOCK, STOCK_TIMES), (GO, GO_TIMES)):
            if name in takes and stream == STORM:
                what = f"{words}: events a second, against {name}"
                bars.append(Bar(what, times, rate.ratio(name), "times", at_least=True))
    skipped = () if GO in takes else (f"{GO} and {GO_ALL}: there is no `go` here",)
    return Result("ingest", tuple(tables), tuple(bars), skipped)
