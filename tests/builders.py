"""Events, VMs and pages, built in one line, for the tests of catalog, model and sinks.

Time is in seconds from `START` by QEMU's clock and from `BOOT` by the monotonic one.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from hypothesis import settings
from prometheus_client.parser import text_string_to_metric_families

from qmp_exporter.catalog.decoder import decoder
from qmp_exporter.catalog.states import LostCause, TargetState
from qmp_exporter.errors import DecodeError
from qmp_exporter.model.fleet import Fleet
from qmp_exporter.model.inputs import Ask, Identity, Link, Reply
from qmp_exporter.model.replies import (
    BlockDevice,
    BlockDevices,
    BlockStats,
    DiskCounts,
    DiskStats,
    Node,
    ReplyValue,
    Spice,
    SpiceChannel,
    Status,
    VncPeer,
    VncServer,
    VncServers,
)
from qmp_exporter.model.target import Target
from qmp_exporter.sinks import Trace
from qmp_exporter.sinks.metrics import MetricsSink
from qmp_exporter.telemetry.samples import Distribution


if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmp_exporter.catalog.spec import Values
    from qmp_exporter.model.changes import Change
    from qmp_exporter.model.event import Event
    from qmp_exporter.model.inputs import Input
    from qmp_exporter.model.vm import VM, Step


START: Final = 1_700_000_000.0
"""Unix seconds of second 0 of a test: a whole number, so that halves and quarters are exact."""

BOOT: Final = 5_000.0
"""Monotonic seconds of second 0 of a test."""

ADDRESS: Final = "/run/qemu/web.sock"
IDENTITY: Final = Identity(
    name="web",
    uuid="11111111-2222-3333-4444-555555555555",
    qemu_version="11.1.3",
    arch="x86_64",
    monitor=ADDRESS,
    pid=4711,
    started=START - 60.0,
)
EVERYTHING: Final[frozenset[str]] = frozenset()
"""For `MetricsSink.render`: all metrics."""

CI: Final = os.environ.get("CI") == "true"
SOME: Final = settings(deadline=None, max_examples=50, derandomize=CI)
MANY: Final = settings(SOME, max_examples=300)

Series: TypeAlias = tuple[str, tuple[str, ...]]
"""Name of a sample, and its label values in the order of the page: the VM's name comes first."""

decode: Final = decoder()


def line(name: str, data: object = None, at: float = 0.0) -> bytes:
    """Return an event as QEMU writes it, sent at second ``at``; without data if that is None."""
    seconds, rest = divmod(START + at, 1)
    stamp = {"seconds": int(seconds), "microseconds": round(rest * 1e6)}
    found: dict[str, object] = {"timestamp": stamp, "event": name}
    if data is not None:
        found["data"] = data
    return json.dumps(found).encode()


def event(name: str, data: object = None, at: float = 0.0, *, late: float = 0.0) -> Event:
    """Return an event sent at second ``at`` that arrived ``late`` seconds after that."""
    return decode(line(name, data, at), START + at + late, BOOT + at + late)


def deeper_and_deeper() -> Iterator[Event]:
    """Yield events whose data is nested, up to as deep as the decoder takes it."""
    with suppress(DecodeError):
        for depth in range(sys.getrecursionlimit() - 300, 10_000):
            data = f'{{"a": {"[" * depth}{"]" * depth}, "b": 1}}'
            yield decode(f'{{"event": "STOP", "data": {data}}}'.encode(), START, BOOT)


def link(state: TargetState, at: float = 0.0, lost: LostCause | None = None) -> Link:
    """Return what became of a connection at second ``at``."""
    return Link(state, START + at, BOOT + at, None, lost)


def ready(at: float = 0.0) -> Link:
    """Return that the state of the VM was read, by second ``at``."""
    return Link(TargetState.CONNECTED, START + at, BOOT + at, read=True)


def connected(at: float = 0.0, **changed: Any) -> Link:
    """Return a connection established at second ``at`` with `IDENTITY`, changed."""
    identity = msgspec.structs.replace(IDENTITY, **changed)
    time = START + at
    return Link(TargetState.CONNECTED, time, BOOT + at, identity, dialled=time)


def lost(at: float = 0.0) -> Link:
    """Return the loss of a connection at second ``at``."""
    return link(TargetState.CONNECTING, at, LostCause.EOF)


def reply(command: str, value: ReplyValue | None, at: float = 0.0) -> Reply:
    """Return the answer to a command, at second ``at``."""
    return Reply(command, value, START + at, BOOT + at)


def status(state: str | None, at: float = 0.0) -> Reply:
    """Return the answer to query-status, or that it did not come (None)."""
    return reply(Ask.STATUS, None if state is None else Status(state), at)


def drive(device: str = "", qdev: str = "", node: str = "", io: str | None = "ok") -> BlockDevice:
    """Return a member of query-block."""
    return BlockDevice(device, qdev, io, Node(node) if node else None)


def blocks(*devices: BlockDevice, at: float = 0.0) -> Reply:
    """Return the answer to query-block."""
    return reply(Ask.BLOCK, BlockDevices(devices), at)


def failures(*names: str, at: float = 0.0) -> Reply:
    """Return the answer to query-blockstats: disks of which no request failed."""
    return reply(Ask.BLOCKSTATS, BlockStats(tuple(DiskCounts(DiskStats(), n) for n in names)), at)


def vnc_clients(*services: str, at: float = 0.0) -> Reply:
    """Return the answer to query-vnc-servers: one server, its clients by their port."""
    peers = tuple(VncPeer("127.0.0.1" if s else "", s) for s in services)
    return reply(Ask.VNC, VncServers((VncServer(peers),)), at)


def spice_channels(*channels: tuple[str, int], at: float = 0.0) -> Reply:
    """Return the answer to query-spice: channels by port and type."""
    found = tuple(SpiceChannel("localhost", port, kind) for port, kind in channels)
    return reply(Ask.SPICE, Spice(enabled=True, channels=found), at)


def vnc(kind: str, service: str = "", at: float = 0.0, auth: str = "none") -> Event:
    """Return VNC_CONNECTED, VNC_INITIALIZED or VNC_DISCONNECTED; no service: a unix socket."""
    client = {"host": "127.0.0.1" if service else "", "service": service}
    return event(f"VNC_{kind}", {"server": {"auth": auth}, "client": client}, at)


def spice(kind: str, port: str = "", at: float = 0.0, channel: int | None = None) -> Event:
    """Return SPICE_CONNECTED, SPICE_INITIALIZED or SPICE_DISCONNECTED."""
    client: dict[str, object] = {"host": "localhost", "port": port}
    if channel is not None:
        client["channel-type"] = channel
    return event(f"SPICE_{kind}", {"server": {"auth": "spice"}, "client": client}, at)


def trace(number: int) -> Trace:
    """Return one of many places in traces."""
    return Trace(f"{number:032x}", f"{number:016x}")


def samples(page: str) -> dict[Series, float]:
    """Return the samples of a page in the text format; no series may be there twice."""
    found: dict[Series, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            series = (sample.name, tuple(sample.labels.values()))
            assert series not in found, f"{series} twice"
            found[series] = sample.value
    return found


class Watch:
    """VMs behind a fleet and a metrics sink, as the application has them, without its clock.

    Args:
        label_sets: the sink's limit.
        addresses: of the monitors that are watched from the start.

    Attributes:
        fleet: the VMs.
        sink: what is shown of them.
        changes: everything that happened, in order.
        asks: every command that was asked for, in order.
        overflows: metrics whose limit was hit, once for each time.
    """

    def __init__(self, *addresses: str, label_sets: int = 256) -> None:
        self.fleet = Fleet()
        self.overflows: list[str] = []
        self.sink = MetricsSink(self.overflows.append, label_sets)
        self.changes: list[Change] = []
        self.asks: list[Ask] = []
        self._shown: set[str] = set()
        for address in addresses or (ADDRESS,):
            self.watch(Target(address))

    def watch(self, target: Target) -> str:
        """Take in a target, and return its name."""
        name = self.fleet.add(target)
        self._show(name, self.fleet.vm(target.address))
        return name

    def feed(self, given: Input, address: str = ADDRESS, trace: Trace | None = None) -> Step:
        """Apply an input and let the sink count it, as one that has its place in a trace."""
        fed = self.fleet.feed(address, given)
        for old, new in fed.renames:
            self._shown = self._shown - {old} | {new}
            self.sink.rename(old, new)
        if fed.name:
            self._show(fed.name, fed.before)
            self.sink.take(fed.name, given, fed.before, fed.step, trace)
        self.changes += fed.step.changes
        self.asks += fed.step.asks
        return fed.step

    def all(self, *given: Input) -> None:
        """Feed several inputs to the first VM."""
        for one in given:
            self.feed(one)

    def expire(self, at: float) -> tuple[str, ...]:
        """Forget what ended before second ``at``."""
        expired = self.fleet.expire(BOOT + at, most=1000)
        for name in expired.names:
            self._shown.discard(name)
            self.sink.forget(name)
        for name, vm in expired.anew:
            self._show(name, vm)
        return expired.names

    @property
    def vm(self) -> VM:
        """What is known of the first VM."""
        return self.fleet.vm(ADDRESS)

    @property
    def name(self) -> str:
        """What the first VM is called."""
        return self.fleet.name(ADDRESS)

    def page(self, at: float = 0.0, *, openmetrics: bool = False) -> str:
        """Return what is shown at second ``at``."""
        page = self.sink.render(BOOT + at, openmetrics=openmetrics, names=EVERYTHING)
        return page + "# EOF\n" if openmetrics else page

    def structured(self, at: float = 0.0) -> dict[Series, float]:
        """Return the same as `samples` of a page, from the samples with their structure."""
        found: dict[Series, float] = {}
        for group in self.sink.samples(lambda: BOOT + at):
            for one in group:
                for values, number in one.rows:
                    assert len(values) == len(one.labels)
                    assert not isinstance(number, Distribution)
                    series = (one.about.name, values)
                    assert series not in found, f"{series} twice"
                    found[series] = number
        return found

    def rows(self, metric: str, at: float = 0.0, vm: str = "") -> dict[Values, float]:
        """Return what is shown of a VM's metric, by its label values; of the first VM if empty."""
        shown = self.sink.render(BOOT + at, openmetrics=False, names=frozenset({metric}))
        who = vm or self.name
        return {v[1:]: value for (_, v), value in samples(shown).items() if v[0] == who}

    def value(self, metric: str, *values: str, at: float = 0.0) -> float | None:
        """Return what is shown of a metric for these label values; None if there is no row."""
        return self.rows(metric, at).get(values)

    def risen(self, metric: str, at: float = 0.0) -> dict[Values, float]:
        """Return the rows of a metric of the first VM that are not 0."""
        return {values: value for values, value in self.rows(metric, at).items() if value}

    def _show(self, name: str, vm: VM) -> None:
        if name not in self._shown:
            self._shown.add(name)
            self.sink.add(name, vm)
