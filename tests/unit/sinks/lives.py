"""A fleet that lives as chance has it, behind the pipeline, seen by a metrics sink and a tally."""

from __future__ import annotations

import math
import random
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

from builders import (
    BOOT,
    START,
    blocks,
    connected,
    decode,
    drive,
    line,
    link,
    lost,
    reply,
    status,
    trace,
    vnc,
    vnc_clients,
)
from qmp_exporter.catalog.events import BY_NAME, EVENTS
from qmp_exporter.catalog.states import JOB_STATUSES, RUN_STATES, TargetState
from qmp_exporter.errors import DecodeError
from qmp_exporter.model.inputs import Ask
from qmp_exporter.model.replies import (
    BlockStats,
    DiskCounts,
    DiskStats,
    JobInfo,
    JobInfos,
    MigratedRam,
    MigrationInfo,
)
from qmp_exporter.model.target import Target
from qmp_exporter.pipeline import Pipeline
from qmp_exporter.sinks import NOBODY
from qmp_exporter.sinks.metrics import MetricsSink
from qmp_exporter.telemetry.self_metrics import SelfMetrics
from unit.sinks.tally import Tally


if TYPE_CHECKING:
    from qmp_exporter.model.event import Event
    from qmp_exporter.model.inputs import Input
    from qmp_exporter.model.vm import VM, Step
    from qmp_exporter.sinks import Trace


WHOLE: Final = (0, 1, -1, 5, 999_999, 10**6, 2**53, 2**53 + 1, 2**60 + 3, 2**63 - 1, -(2**63))
NUMBERS: Final = (
    *WHOLE,
    *(0.5, -0.0, 0.1, -0.25, 1e-7, -1e-7, 1e15, 1e16, -1e16, 1e22, 1e23, 123456.5, 1234567.5),
    *(1e6, 999_999.75, 1_700_000_000.123456, 2.0**53 + 2, 2.0**-1074, -1e300, sys.float_info.max),
    *(math.nan, math.inf, -math.inf),
)
PIECES: Final = (
    *('"', "\\", '\\"', "\\n", "n", " ", "#", "{", "}", "=", ",", "'", "1", "web", "disk0", '="'),
    *('"} 1', '",x="', ' # {trace_id="1"} 1', "é", "日本語", "😀", "\u0301", "\ufeff", "\u2028"),
    *("x" * 100, "ü" * 90, "␤", "␍", "…"),
)
WORDS: Final = ("setup", "completed", "failed", "read", "stop", "backup0", "created", "null")
OFTEN: Final = ("POWERDOWN", "BLOCK_IO_ERROR", "QUORUM_FAILURE", "RTC_CHANGE", "MIGRATION")
STAND_INS: Final = str.maketrans({"␤": "\n", "␍": "\r", "…": "long" * 100})
EMPTY: Final = "␀"
ADDRESSES: Final = tuple(f"/run/{name}.sock" for name in ("a", "b", "c", 'd"\\'))


class Beside:
    """Sinks that are handed the same, as one; every step is of the place in traces that is set.

    Names of VMs come to them as no fleet lets them: empty, long, of several lines.
    """

    name: Final = "beside"

    def __init__(self, *sinks: MetricsSink | Tally) -> None:
        self._sinks = sinks
        self.trace: Trace | None = None

    def add(self, vm: str, state: VM = NOBODY) -> None:
        """Take in a VM."""
        for sink in self._sinks:
            sink.add(_raw(vm), state)

    def take(self, vm: str, given: Input, before: VM, step: Step, _: Trace | None) -> None:
        """Take what an input made of a VM."""
        for sink in self._sinks:
            sink.take(_raw(vm), given, before, step, self.trace)

    def decode_error(self, vm: str, event: str) -> None:
        """Take a line that is not the event that it claims to be."""
        for sink in self._sinks:
            sink.decode_error(_raw(vm), event)

    def rename(self, old: str, new: str) -> None:
        """Go on with a VM under another name."""
        for sink in self._sinks:
            sink.rename(_raw(old), _raw(new))

    def forget(self, vm: str) -> None:
        """Drop a VM."""
        for sink in self._sinks:
            sink.forget(_raw(vm))


def _raw(vm: str) -> str:
    return "" if vm == EMPTY else vm.translate(STAND_INS)


class Life:
    """VMs that live as chance has it, behind the pipeline."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - to be repeated
        label_sets = self.chance.choice((2, 256))
        self.metrics, self.tally = MetricsSink(label_sets=label_sets), Tally(label_sets)
        self.sinks, self.own = Beside(self.metrics, self.tally), SelfMetrics()
        self.pipeline = Pipeline((self.sinks,), self.own, self.sinks.decode_error)
        self.at, self.pid, self.told = 0.0, 1, 0
        self.watched: set[str] = set()

    def step(self) -> None:
        """Let time pass, and one thing happen at one monitor."""
        chance, pipeline = self.chance, self.pipeline
        self.at += chance.choice((0.0, 0.0, 0.001, 0.25, 3.0, 40.0))
        address = chance.choice(ADDRESSES)
        if address not in self.watched:
            name = chance.choice(("", "", "", self.text()))
            pipeline.add(Target(address, name=name, named=chance.random() < 0.5))
            self.watched.add(address)
        match chance.randrange(40):
            case 0:
                self.watched -= set(pipeline.expire(BOOT + self.at - 50, most=9))
            case 1:
                pipeline.drop(address)
                self.watched.discard(address)
            case 2 | 3:
                pipeline.decode_error(address, chance.choice(("STOP", "RESET", "other")))
            case _ if not pipeline.fleet.vm(address).watched:
                self.feed(address, self.connection() if chance.random() < 0.5 else self.loss())
            case 4 | 5 | 6:
                self.feed(address, self.loss())
            case 7 | 8:
                self.move(address, chance.choice(sorted(self.watched)))
            case n if n < 18:
                self.feed(address, self.reply())
            case _:
                self.happen(address)

    def feed(self, address: str, given: Input) -> None:
        """Feed an input, with a place in a trace or without."""
        self.told += 1
        self.sinks.trace = trace(self.told) if self.chance.random() < 0.5 else None
        self.pipeline.feed(address, given)

    def move(self, old: str, new: str) -> None:
        """Let the QEMU at one monitor end, and that at another be one of its name."""
        name = self.pipeline.fleet.name(old)
        for address in (old, new):
            self.feed(address, link(TargetState.GONE, self.at))
        self.feed(new, self.connection(name))

    def connection(self, *names: str) -> Input:
        """Return that some QEMU answers, of one of these names or of any."""
        chance = self.chance
        self.pid += chance.random() < 0.6
        labels = tuple((f"label_{n}", self.text()) for n in range(chance.randrange(3)))
        name = chance.choice(names or ("", "two␤lines", EMPTY, self.text()))
        started = chance.choice((None, *NUMBERS))
        uuid = self.text()
        return connected(
            self.at, name=name, pid=self.pid, started=started, uuid=uuid, labels=labels
        )

    def loss(self) -> Input:
        """Return that a connection was lost, or that nobody is there."""
        states = (TargetState.GONE, TargetState.CONNECTING, TargetState.BUSY)
        gone = link(self.chance.choice(states), self.at)
        return self.chance.choice((gone, gone, lost(self.at)))

    def reply(self) -> Input:
        """Return some answer."""
        chance, at = self.chance, self.at
        stats = [DiskStats(*chance.choices(WHOLE, k=3)) for _ in range(2)]
        disks = tuple(DiskCounts(one, self.text()) for one in stats)
        jobs = tuple(JobInfo(str(n), chance.choice(JOB_STATUSES)) for n in range(3))
        downtime, moved = chance.choices(WHOLE, k=2)
        migrated = MigrationInfo("completed", downtime, MigratedRam(moved), 1)
        return chance.choice(
            (
                status(chance.choice((*RUN_STATES, "unheard-of", None)), at),
                blocks(*(drive(self.text(), io="nospace") for _ in range(2)), at=at),
                reply(Ask.BLOCKSTATS, BlockStats(disks), at),
                reply(Ask.MIGRATE, migrated, at),
                reply(Ask.JOBS, JobInfos(jobs), at),
                vnc_clients("1", "2", at=at),
            )
        )

    def happen(self, address: str) -> None:
        """Let QEMU send some event, or what should have been one; gauges may be set to anything."""
        chance = self.chance
        at = self.at - chance.choice((0.0, 0.0, 0.5, 5.0, 30.0))
        if chance.random() < 0.1:
            self.feed(address, vnc(chance.choice(("CONNECTED", "INITIALIZED")), "1", at))
            return
        spec = chance.choice((BY_NAME[chance.choice(OFTEN)], chance.choice(EVENTS)))
        data = self.changed(chance.choice(spec.samples))
        try:
            given = decode(line(spec.name, data, at), START + self.at, BOOT + self.at)
        except DecodeError:
            self.pipeline.decode_error(address, spec.name)
            return
        fields = {g.field for g in spec.gauges} & set(given.data.__struct_fields__)
        told = {name: chance.choice(NUMBERS) for name in sorted(fields)}
        self.feed(address, _with(given, told))

    def changed(self, data: Any) -> Any:
        """Return data with some texts and numbers replaced."""
        if isinstance(data, dict):
            return {key: self.changed(value) for key, value in data.items()}
        if isinstance(data, bool) or data is None or self.chance.random() < 0.6:
            return data
        told = WHOLE if isinstance(data, int) else (self.text(), *WORDS)
        return self.chance.choice(told)

    def text(self) -> str:
        """Return some text, which may be empty."""
        return "".join(self.chance.choices(PIECES, k=self.chance.choice((0, 1, 1, 2, 3))))


def _with(given: Event, told: dict[str, Any]) -> Event:
    return msgspec.structs.replace(given, data=msgspec.structs.replace(given.data, **told))
