"""Many VMs: what they cost while nothing happens, when all connect, and beside one that storms."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from statistics import median, quantiles
from typing import TYPE_CHECKING, Final

from apart.exporter import FLOOD, exporting_apart
from benchmarks.blast import CAPABILITIES
from benchmarks.exporter import exporter
from benchmarks.ingest import blast
from benchmarks.processes import MEBI, BenchError, beside, measured
from benchmarks.report import Bar, Result, Row, Table
from benchmarks.vms import vms


if TYPE_CHECKING:
    from pathlib import Path

    from apart.exporter import Subject
    from benchmarks.bench import Bench
    from benchmarks.vms import Vms


SMALL: Final = 10
FLEET: Final = 1_000
LARGE: Final = 10_000
IDLE: Final = 60
"""Seconds."""

SCRAPES: Final = 4
STARTS: Final = 3
"""Of which a round takes the median, but for the largest fleet: short ones differ most."""

SETTLED: Final = 2.0
"""Seconds after the last connection until a fleet is taken to be idle."""

TALK: Final = 1.0
"""Seconds between two events of a quiet VM."""

FAIRNESS: Final = 20
"""Seconds of each, without and beside a storm."""

EACH: Final = 1.0
"""Seconds between two scrapes meanwhile."""

PIECE: Final = 1_000_000
"""Events after which memory is looked at first."""

PIECES: Final = 10

KIBI: Final = 1024
CPU_BAR: Final = 1.0
VM_BAR: Final = 80.0
SERIES_BAR: Final = 160
LINEAR_BAR: Final = 12.0
FAIR_BAR: Final = 50.0
FLAT_BAR: Final = 1.0

Values = dict[tuple[str, str], list[float]]


def rows(values: Values) -> tuple[Row, ...]:
    """Return what was found, by what and unit."""
    return tuple(Row(what, unit, tuple(found)) for (what, unit), found in values.items())


def bar(values: Values, key: tuple[str, str], needs: float) -> Bar:
    """Return a bar which one of them must not exceed."""
    row = Row(*key, tuple(values[key]))
    return Bar(row.what, needs, row.middle, row.unit, at_least=False)


# ---- connecting, and then nothing


IDLE_CPU: Final = "CPU of {vms:,} idle VMs", "% of a core"
IDLE_VM: Final = "memory of a VM with its series, by {vms:,}", "KiB"
IDLE_SERIES: Final = ("series of a VM with one disk", "")
CONNECTED: Final = "{vms:,} VMs: start to all connected", "s"
HOW: Final = (
    "VMs with one disk, which listen already when the exporter starts, on the other core. The time"
    " is from the start of the process until the state of the last VM has been read; with up to"
    f" {FLEET:,} VMs it is the median of {STARTS} starts. Then they say"
    " nothing for {seconds} s with {scrapes} scrapes. Memory is what is resident after those; of a"
    " VM, less what is with one VM after a scrape, by VM."
)


def of(key: tuple[str, str], number: int) -> tuple[str, str]:
    """Return what is measured of so many VMs."""
    return key[0].format(vms=number), key[1]


def single(place: Path, values: Values) -> int:
    """Add a round with one VM, and return the bytes that are resident."""
    with vms(place, 1) as one, exporter(place, "--qmp.socket", one.pattern) as subject:
        one.served()
        time.sleep(SETTLED)
        lines = subject.get().body.splitlines()
        resident = subject.child.resident()
    values[IDLE_SERIES].append(sum(line.startswith(b"q") and b'vm="0"' in line for line in lines))
    values["resident with 1 VM", "MiB"].append(resident / MEBI)
    return resident


def start(bench: Bench, fleet: Vms) -> float:
    """Start it; return the seconds until all are connected."""
    began = time.time()
    with bench.folder() as place, exporter(place, "--qmp.socket", fleet.pattern):
        took = fleet.served() - began
    fleet.alone()
    return took


def round_of(bench: Bench, fleet: Vms, least: int, values: Values) -> None:
    """Add a round of a fleet; ``least`` is the bytes that are resident with one VM."""
    number, what = fleet.number, f"{fleet.number:,} VMs"
    more = STARTS - 1 if number <= bench.size(FLEET) else 0
    starts = [start(bench, fleet) for _ in range(more)]
    began = time.time()
    with bench.folder() as place, exporter(place, "--qmp.socket", fleet.pattern) as subject:
        values[of(CONNECTED, number)].append(median([*starts, fleet.served() - began]))
        values[f"{what}: CPU time of the last", "s"].append(subject.child.cpu())
        time.sleep(SETTLED)
        page = subject.get()
        if (up := page.total("qemu_up")) != number:
            raise BenchError(f"found {up:,.0f} VMs connected, expected {number:,}")
        values[f"{what}: first scrape", "s"].append(page.seconds)
        seconds = bench.size(IDLE)
        then, before = time.monotonic(), subject.child.cpu()
        for scrape in range(1, SCRAPES + 1):
            time.sleep(max(0.0, then + scrape * seconds / SCRAPES - time.monotonic()))
            subject.get()
        took = time.monotonic() - then
        values[of(IDLE_CPU, number)].append((subject.child.cpu() - before) / took * 100)
        resident = subject.child.resident()
    fleet.alone()
    values[f"{what}: resident", "MiB"].append(resident / MEBI)
    if number > SMALL:  # of few it is less than what a process differs from the next
        values[of(IDLE_VM, number)].append((resident - least) / (number - 1) / KIBI)


# ---- fairness


QUIET: Final = ("quiet VMs, p99 of sent to applied, alone", "ms")
BESIDE: Final = ("quiet VMs, p99 of sent to applied, beside a storm", "ms")
HOW_FAIR: Final = (
    "{quiet} quiet VMs send an event a second each, stamped as it is sent, for {seconds} s alone,"
    " and for {seconds} s beside a VM that sends BLOCK_IO_ERROR as fast as it is read, with a"
    " scrape each second."
)


def fairness(bench: Bench, place: Path, values: Values) -> None:
    """Add a round."""
    quiet = bench.size(FLEET) - 1
    path = place / f"{FLOOD}.qmp"
    with (
        vms(place, quiet) as fleet,
        blast(place, path, "BLOCK_IO_ERROR", bench.size(PIECE), CAPABILITIES) as sender,
    ):

        async def measure() -> None:
            log = place / "apart.log"
            os.sched_setaffinity(0, {measured()})  # the exporter inherits it
            async with exporting_apart(log, sockets=(path,), globs=(fleet.pattern,)) as subject:
                os.sched_setaffinity(0, {beside()})
                fleet.served()
                sender.hear()
                await asyncio.sleep(SETTLED)
                seconds = float(bench.size(FAIRNESS))
                values[QUIET].append(await delays(subject, fleet, seconds) * 1000)
                before = await counted(subject)
                began = time.monotonic()
                sender.tell(times=PIECES * PIECES * PIECES)  # more than it will come to
                values[BESIDE].append(await delays(subject, fleet, seconds) * 1000)
                rate = (await counted(subject) - before) / (time.monotonic() - began)
                values["events of the storm", "events/s"].append(rate)

        asyncio.run(measure())


async def delays(subject: Subject, fleet: Vms, seconds: float) -> float:
    """Return p99 of the seconds from sent to applied, of events of all quiet VMs."""
    await subject.delays()
    fleet.talk(fleet.number, TALK, seconds)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        await asyncio.sleep(EACH)
        async with subject.client.get("/metrics") as response:
            await response.read()
    sent = fleet.talked()
    await asyncio.sleep(SETTLED)
    found = await subject.delays()
    if len(found) != sent:
        raise BenchError(f"found {len(found):,} events, expected {sent:,}")
    return quantiles(found, n=100)[98]


async def counted(subject: Subject) -> float:
    """Return how many events of the storm were counted."""
    page = await subject.scrape("qemu_events_total")
    return sum(page.rows("qemu_events_total", vm=FLOOD).values())


# ---- memory


GROWTH: Final = ("growth from 1 to 10 million events", "MiB")
HOW_FLAT: Final = (
    "One VM sends {events:,} BLOCK_IO_ERROR as fast as they are read, and nine times as many after"
    " that; memory is what is resident after a scrape."
)


def flat(bench: Bench, place: Path, values: Values) -> None:
    """Add a round."""
    path, number = place / "vm.qmp", bench.size(PIECE)
    with (
        blast(place, path, "BLOCK_IO_ERROR", number, CAPABILITIES) as sender,
        exporter(place, "--qmp.socket", str(path)) as subject,
    ):
        sender.hear()
        found = []
        for done, times in ((1, 1), (PIECES, PIECES - 1)):
            sender.ask(times=times)
            subject.until("qemu_events_total", done * number, vm="vm")
            subject.get()
            found.append(subject.child.resident() / MEBI)
    values["resident after the first tenth", "MiB"].append(found[0])
    values["resident after all", "MiB"].append(found[1])
    values[GROWTH].append(found[1] - found[0])


def run(bench: Bench) -> Result:
    """Measure all of it."""
    quiet: Values = defaultdict(list)
    fair: Values = defaultdict(list)
    memory: Values = defaultdict(list)
    sizes = (SMALL, bench.size(FLEET), bench.size(LARGE))
    for _ in range(bench.rounds):
        with bench.folder() as place:
            least = single(place, quiet)
        for number in sizes:  # alone, as the kernel tells of all sockets of the host
            with bench.folder() as place, vms(place, number) as fleet:
                round_of(bench, fleet, least, quiet)
    for _ in range(bench.rounds):
        with bench.folder() as place:
            fairness(bench, place, fair)
        with bench.folder() as place:
            flat(bench, place, memory)
    tables = (
        Table(
            "Connecting, and idle",
            HOW.format(seconds=bench.size(IDLE), scrapes=SCRAPES),
            rows(quiet),
        ),
        Table(
            "Fairness",
            HOW_FAIR.format(quiet=bench.size(FLEET) - 1, seconds=bench.size(FAIRNESS)),
            rows(fair),
        ),
        Table("Memory", HOW_FLAT.format(events=bench.size(PIECE)), rows(memory)),
    )
    fleet_one, large_one = (median(quiet[of(CONNECTED, number)]) for number in sizes[1:])
    linear = "connecting 10,000 VMs, against 1,000"
    bars = (
        bar(quiet, of(IDLE_CPU, sizes[1]), CPU_BAR),
        bar(quiet, of(IDLE_VM, sizes[1]), VM_BAR),
        bar(quiet, IDLE_SERIES, SERIES_BAR),
        Bar(linear, LINEAR_BAR, large_one / fleet_one, "times the seconds", at_least=False),
        bar(fair, BESIDE, FAIR_BAR),
        bar(memory, GROWTH, FLAT_BAR),
    )
    return Result("fleet", tables, bars)
