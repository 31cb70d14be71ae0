"""Scrapes: /metrics of many VMs, beside promhttp and prometheus-client with the same series."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.exporter import Answer, exporter, get
from benchmarks.processes import BenchError, built, child, measured, program
from benchmarks.report import Bar, Result, Row, Table
from benchmarks.vms import vms


if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.exporter import Exporter
    from benchmarks.processes import Child
    from benchmarks.vms import Vms


FLEETS: Final = (1, 10, 100, 1_000, 10_000)
BAR: Final = 1_000
"""VMs of the fleet of which bars tell."""

GO_TIMES: Final = 8.0
LIBRARY_TIMES: Final = 30.0
LIBRARY_UP_TO: Final = 1_000
"""VMs: with more, the library takes minutes and gigabytes to be made ready."""

TIMES: Final = 5
FEW: Final = 3
"""Scrapes of which a round takes the median, of fleets that bars tell of, and of larger ones."""

SETTLED: Final = 0.2
"""Seconds in which what has been read from sockets is applied."""

TALK: Final = 0.005
"""Seconds between two events of the VM whose events tell how late the loop is."""

LAG_SECONDS: Final = 5.0
FLEET: Final = "qmp_exporter_fleet_events_total"
DELAY: Final = "qmp_exporter_event_delay_seconds"
LAG: Final = "qmp_exporter_event_loop_lag_seconds"

SUMS: Final = tuple(f"{name}_{part}" for name in (DELAY, LAG) for part in ("sum", "count"))

OURS: Final = "qmp-exporter"
GO: Final = "promhttp, one core"
GO_ALL: Final = "promhttp, all cores"
LIBRARY: Final = "generate_latest, without HTTP"

TWO: Final = "2 % of the VMs changed"

HOW: Final = (
    "The exporter as people run it, on a core of its own; VMs with one disk, in other processes. A"
    " scrape is an HTTP GET from connect() to the last byte. But for the first, a value is the"
    f" median of {TIMES} scrapes in each round, {FEW} with more than {BAR:,} VMs, before each of"
    " which so many VMs sent an event; every event was counted. Delays are of one VM that sends 200"
    f" events a second for {LAG_SECONDS:.0f} s."
)
HOW_OTHERS: Final = (
    "By the same client. promhttp serves the same series from vectors of client_golang, in which a"
    f" counter of as many VMs changes; with more than {BAR:,} VMs, which take it many seconds, a"
    " round is one scrape of it. generate_latest gets families with all their samples made"
    " beforehand, and is called directly, which favours it."
)

Values = dict[str, list[float]]


def changes(number: int) -> dict[str, int]:
    """How many VMs change before a scrape, by what is said of that."""
    return {
        "nothing changed": 0,
        "one VM changed": 1,
        TWO: max(1, number // 50),
        "all VMs changed": number,
    }


def times_of(number: int) -> int:
    """Of how many scrapes of so many VMs a round takes the median."""
    return TIMES if number <= BAR else FEW


def timed_ours(subject: Exporter, fleet: Vms, changed: int, *, packed: bool) -> float:
    """Return the median seconds of scrapes, before each of which so many VMs change."""
    seconds = []
    for _ in range(times_of(fleet.number)):
        if changed:
            fleet.change(changed)
        time.sleep(SETTLED)
        seconds.append(subject.get(packed=packed).seconds)
    return median(seconds)


def timed_go(port: int, changed: int, times: int, *, packed: bool) -> float:
    """Return the same of promhttp, of so many scrapes."""
    seconds = []
    for _ in range(times):
        get(port, f"/change?vms={changed}")
        seconds.append(get(port, packed=packed).seconds)
    return median(seconds)


def late(subject: Exporter, fleet: Vms, *, scraped: bool) -> dict[str, float]:
    """Return how late things are while nothing, or one scrape after the other, is served."""
    before = subject.get(*SUMS)
    fleet.talk(1, TALK, LAG_SECONDS)
    ends = time.monotonic() + LAG_SECONDS
    while scraped and time.monotonic() < ends:
        subject.get()
    sent = fleet.talked()
    time.sleep(SETTLED)
    after = subject.get(*SUMS)
    found = {}
    for name, what in ((DELAY, "events, stamp to applied"), (LAG, "event loop")):
        number = after.total(f"{name}_count") - before.total(f"{name}_count")
        found[what] = (after.total(f"{name}_sum") - before.total(f"{name}_sum")) / number
        if name == DELAY and number != sent:
            raise BenchError(f"{name}: found {number:,.0f} events, expected {sent:,}")
    return found


class Peers:
    """The others, with the series of one page of ours."""

    def __init__(self, bench: Bench, place: Path, page: bytes, number: int) -> None:
        self._stack = ExitStack()
        path = place / "page.txt"
        path.write_bytes(page)
        self._ports: dict[str, int] = {}
        go = built(bench.place, "expose")
        if go is not None:
            for name, core in ((GO, measured()), (GO_ALL, None)):
                served = child(go, path, log=place / "expose.log", core=core)
                self._ports[name] = self._stack.enter_context(served).hear()["port"]
        self._library: Child | None = None
        if number <= LIBRARY_UP_TO:
            words = (*program("library"), path)
            kept = child(*words, log=place / "library.log", core=measured())
            self._library = self._stack.enter_context(kept)
            self._library.hear()
        self._times = TIMES if number <= BAR else 1
        self._samples = Answer(0.0, b"", page).samples

    def measure(self, values: Values, changed: int) -> None:
        """Add a round."""
        for name, port in self._ports.items():
            for packed in (False, True):
                key = f"{name}, {coding(packed=packed)}"
                values[key].append(timed_go(port, changed, self._times, packed=packed))
            if (found := get(port).samples) != self._samples:
                raise BenchError(f"{name}: found {found} samples, expected {self._samples}")
        if self._library is not None:
            seconds = median(self._library.ask()["seconds"] for _ in range(TIMES))
            values[f"{LIBRARY}, {coding(packed=False)}"].append(seconds)

    def close(self) -> None:
        """End them."""
        self._stack.close()


class Fleet:
    """The measurements of one fleet."""

    def __init__(self, bench: Bench, place: Path, fleet: Vms) -> None:
        self._bench, self._place, self._vms = bench, place, fleet
        self._changes = changes(fleet.number)
        self._seconds: Values = defaultdict(list)
        self._others: Values = defaultdict(list)

    def measure(self) -> None:
        """Measure all rounds."""
        peers: Peers | None = None
        try:
            for _ in range(self._bench.rounds):
                with exporter(self._place, "--qmp.socket", self._vms.pattern) as subject:
                    page = self._ours(subject)
                    peers = peers or Peers(self._bench, self._place, page, self._vms.number)
                    # Right after one another, while the exporter is idle.
                    changed = self._changes[TWO]
                    for packed in (False, True):
                        found = timed_ours(subject, self._vms, changed, packed=packed)
                        self._others[f"{OURS}, {coding(packed=packed)}"].append(found)
                    peers.measure(self._others, changed)
                self._vms.alone()
        finally:
            if peers is not None:
                peers.close()

    def _ours(self, subject: Exporter) -> bytes:
        """Add a round of the exporter alone, and return the whole page."""
        self._vms.served()
        time.sleep(SETTLED)
        cold = subject.get()
        if (up := cold.total("qemu_up")) != self._vms.number:
            raise BenchError(f"found {up:,.0f} VMs connected, expected {self._vms.number:,}")
        self._seconds["samples"].append(cold.samples)
        self._seconds["bytes, plain"].append(len(cold.body))
        self._seconds["bytes, gzip"].append(len(subject.get(packed=True).body))
        self._seconds["first scrape, plain"].append(cold.seconds)
        times = times_of(self._vms.number)
        for what, changed in self._changes.items():
            for packed in (False, True):
                before = subject.get().total(FLEET)
                key = f"{what}, {coding(packed=packed)}"
                seconds = timed_ours(subject, self._vms, changed, packed=packed)
                self._seconds[key].append(seconds)
                if (counted := subject.get().total(FLEET) - before) != (sent := changed * times):
                    raise BenchError(f"found {counted} events, expected {sent}")
        if self._vms.number >= self._bench.size(BAR):
            for scraped, when in ((False, "no scrape"), (True, "one scrape after the other")):
                for what, seconds in late(subject, self._vms, scraped=scraped).items():
                    self._seconds[f"{what}, mean delay, {when}"].append(seconds)
        return subject.get().body

    def tables(self) -> list[Table]:
        """What was found."""
        what = f"{self._vms.number:,} VM{'s' * (self._vms.number > 1)}"
        rows = [row(key, values) for key, values in self._seconds.items()]
        found = [Table(f"/metrics of {what}", HOW, tuple(rows))]
        for packed in (False, True):
            these = [
                row(key, values)
                for key, values in self._others.items()
                if key.endswith(coding(packed=packed))
            ]
            ours = f"{OURS}, {coding(packed=packed)}"
            title = f"/metrics of {what}, {TWO}, {coding(packed=packed)}"
            found.append(Table(title, HOW_OTHERS, tuple(these), ours))
        return found

    def bars(self) -> list[Bar]:
        """How many times faster ours is than the others."""
        plain = self.tables()[1]
        found = []
        for name, times in ((GO, GO_TIMES), (GO_ALL, GO_TIMES), (LIBRARY, LIBRARY_TIMES)):
            other = f"{name}, {coding(packed=False)}"
            if other in self._others:
                what = f"{plain.title}, against {name}"
                found.append(Bar(what, times, plain.ratio(other), "times", at_least=True))
        return found


def coding(*, packed: bool) -> str:
    """Say which."""
    return "gzip" if packed else "plain"


def row(what: str, values: list[float]) -> Row:
    """Return a row: counts as they are, all else in milliseconds."""
    if what == "samples":
        return Row(what, "", tuple(values))
    if what.startswith("bytes"):
        return Row(what, "bytes", tuple(values))
    return Row(what, "ms", tuple(value * 1000 for value in values))


def run(bench: Bench) -> Result:
    """Measure all fleets."""
    tables: list[Table] = []
    bars: list[Bar] = []
    for whole in FLEETS:
        with bench.folder() as place, vms(place, bench.size(whole)) as them:
            fleet = Fleet(bench, place, them)
            fleet.measure()
            tables += fleet.tables()
            bars += fleet.bars() if whole == BAR else []
    go = built(bench.place, "expose")
    skipped = () if go is not None else (f"{GO} and {GO_ALL}: there is no `go` here",)
    return Result("scrape", tuple(tables), tuple(bars), skipped)
