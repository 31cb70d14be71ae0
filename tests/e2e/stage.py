"""Machines on a stage: heard by a witness, watched by the exporter, which exports to a collector.

What the collector got is held against what the witness heard on a monitor of its own.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from time import time_ns
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from e2e.lab.scenario import NEW, UUID
from e2e.page import Exporter, exporting
from otlp import Receiver
from outline import compare, outline
from qmp_exporter import __version__
from qmp_exporter.config.otel import read_otel
from qmp_exporter.demo import Machine
from witness import Ear


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from otlp_data import LogRecord, Span, SpanEvent

Happened: TypeAlias = tuple[str, int]
"""The name of an event in traces, and its Unix nanoseconds."""

PATIENCE: Final = 30.0
INFO, WARN, ERROR, FATAL = 9, 13, 17, 21
SEVERITIES: Final = {
    "STOP": WARN,
    "RESET": WARN,
    "SHUTDOWN": WARN,
    "WATCHDOG": ERROR,
    "BLOCK_IO_ERROR": ERROR,
    "GUEST_PANICKED": FATAL,
}
"""Of log records, where they are not good news; an ``error.type`` makes any of them an error."""

ADDRESSES: Final = {"qemu.client.host", "qemu.client.port", "qemu.client.service"}
"""What is not told of a client."""

NAMED: Final = {
    "BLOCK_IO_ERROR": {"qemu.device"},
    "DUMP_COMPLETED": {"qemu.status"},
    "GUEST_PANICKED": {"qemu.kind"},
    "SPICE_INITIALIZED": {"qemu.auth"},
    "VNC_INITIALIZED": {"qemu.auth"},
}
"""Attributes that the exporter makes: they are named as the labels of metrics are."""


class Stage:
    """See the module.

    Attributes:
        machines: by the name that the exporter gives them.
        ears: what was heard of them.
        receiver: the collector.
        began: Unix nanoseconds.
        told: what QEMU answered to a question of the test.
    """

    def __init__(self, machines: dict[str, Machine], receiver: Receiver) -> None:
        self.machines = machines
        self.ears = {name: Ear() for name in machines}
        self.receiver = receiver
        self.began = time_ns()
        self.told: dict[str, Any] = {}
        self.who: dict[str, dict[str, Any]] = {}

    @property
    def machine(self) -> Machine:
        """The first one."""
        return next(iter(self.machines.values()))

    @property
    def ear(self) -> Ear:
        """What was heard of it."""
        return next(iter(self.ears.values()))

    @asynccontextmanager
    async def exporting(self, **settings: object) -> AsyncIterator[Exporter]:
        """Run an exporter that has read the state of all machines; wait until it knows it all."""
        monitors = [machine.monitor for machine in self.machines.values()]
        otel = read_otel(self.receiver.environment())
        async with exporting(*monitors, otel=otel, **settings) as exporter:
            await exporter.ready(*self.machines.values())
            yield exporter
            await self.settle(exporter)

    async def settle(self, exporter: Exporter) -> None:
        """Wait until all that was heard was exported as log records, and all asked for is known."""
        async with asyncio.timeout(PATIENCE):
            for vm, ear in self.ears.items():
                await ear.wait(lambda vm=vm: self._heard(vm) >= self._logged(vm))
                await self.receiver.until(lambda vm=vm: self._heard(vm) <= self._logged(vm))
            fleet = exporter.app.pipeline.fleet
            addresses = [str(machine.monitor) for machine in self.machines.values()]
            while any(fleet.vm(one).asked for one in addresses):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)

    def _heard(self, vm: str) -> Counter[Happened]:
        return Counter(map(_happened, self.ears[vm].heard))

    def _logged(self, vm: str) -> Counter[Happened]:
        logs = (record for record in self.receiver.logs if record.resource["qemu.vm"] == vm)
        return Counter((record.event, record.time) for record in logs)

    async def hear(self, *names: str, vm: str = "vm") -> None:
        """Wait for these events of a machine, in this order."""
        await self.ears[vm].hear(*names)

    async def spans(self, *names: str) -> None:
        """Wait until spans of these names have ended."""
        await self.receiver.until(
            lambda: Counter(span.name for span in self.receiver.spans) >= Counter(names), f"{names}"
        )

    # ---- afterwards

    def story(self, vm: str = "vm") -> list[Span]:
        """Return the spans of a machine without those of connecting."""
        return [span for span in self.all(vm) if span.name != "qmp.connect"]

    def all(self, vm: str) -> list[Span]:
        """Return all spans of a machine."""
        return [span for span in self.receiver.spans if span.resource["qemu.vm"] == vm]

    def outline(self, vm: str = "vm") -> str:
        """Return what there is to see of a machine."""
        stamps: dict[tuple[str, int], str] = {}
        for event in self.ears[vm].heard:
            stamps[vm, _happened(event)[1]] = event["event"]
        return outline(self.story(vm), stamps)

    def expect(self, expected: str, vm: str = "vm") -> None:
        """Fail unless the spans of a machine are these, and all that must always hold does."""
        compare(expected, self.outline(vm))
        self.check(vm)

    def check(self, vm: str) -> None:
        """Hold what the collector got against what was heard."""
        spans, now = self.all(vm), time_ns()
        noted = [(event, span) for span in spans for event in span.events]
        logs = [record for record in self.receiver.logs if record.resource["qemu.vm"] == vm]
        assert Counter((event.name, event.time) for event, _ in noted) == self._heard(vm)
        assert self._logged(vm) == self._heard(vm)
        by_stamp = {_happened(event): event for event in self.ears[vm].heard}
        records = {(record.event, record.time): record for record in logs}
        for event, span in noted:
            _check_event(event, by_stamp[event.name, event.time])
            _check_record(records[event.name, event.time], event, span)
        for span in spans:
            assert self.began <= span.start <= span.end <= now, span
            self._check_span(span, vm)
        for record in logs:
            assert self.began <= record.observed <= now
            assert (record.resource, record.scope) == (spans[0].resource, spans[0].scope)

    def _check_span(self, span: Span, vm: str) -> None:
        known = {key: span.resource[key] for key in span.resource if "telemetry.sdk" not in key}
        assert known == self.who[vm]
        assert (span.scope.name, span.scope.version) == ("qmp_exporter", __version__)
        assert (span.kind, span.message, span.dropped) == ("internal", "", (0, 0, 0))
        assert (span.status == "error") == ("error.type" in span.attributes)
        times = [event.time for event in span.events]
        assert all(span.start <= time <= span.end for time in times), span
        assert times == sorted(times)
        same = [other for other in self.receiver.spans if other.trace_id == span.trace_id]
        family = {other.span_id for other in same}
        assert not span.parent_id or span.parent_id in family
        assert len({other.span_id for other in same if not other.parent_id}) == 1
        for link in span.links:
            target = (link.trace_id, link.span_id)
            assert target in {(o.trace_id, o.span_id) for o in self.receiver.spans}
            assert set(link.attributes) == {"qmp_exporter.link"}

    async def introduce(self, vm: str) -> None:
        """Ask a machine who it is, on the monitor of the lab."""
        machine = self.machines[vm]
        version = (await machine.execute("query-version"))["qemu"]
        uuid = (await machine.execute("query-uuid"))["UUID"]
        known = {} if not uuid.strip("0-") else {"host.id": uuid}
        self.who[vm] = known | {
            "host.name": (await machine.execute("query-name"))["name"],
            "host.arch": "amd64",
            "service.name": "qemu",
            "service.instance.id": uuid if known else vm,
            "qemu.vm": vm,
            "qemu.version": f"{version['major']}.{version['minor']}.{version['micro']}",
        }


def _happened(event: dict[str, Any]) -> Happened:
    """Return the name of an event in traces, and its Unix nanoseconds."""
    stamp = event["timestamp"]
    time = (stamp["seconds"] * 1_000_000 + stamp["microseconds"]) * 1000
    return f"qemu.{event['event'].lower()}", time


def _check_event(event: SpanEvent, heard: dict[str, Any]) -> None:
    """Hold the attributes of an event against what QEMU said."""
    said = dict(_flat("qemu", heard.get("data", {})))
    named = NAMED.get(heard["event"], set())
    told = {key: value for key, value in event.attributes.items() if key not in named}
    told = {key: value for key, value in told.items() if key not in {"error.type", "qemu.cause"}}
    assert told == {k: v for k, v in said.items() if v != "" and k not in named | ADDRESSES}
    assert named <= event.attributes.keys()


def _flat(prefix: str, data: dict[str, Any]) -> Any:
    for key, value in data.items():
        name = f"{prefix}.{key.replace('-', '_')}"
        yield from _flat(name, value) if isinstance(value, dict) else ((name, value),)


def _check_record(record: LogRecord, event: SpanEvent, span: Span) -> None:
    """Hold a log record against the event of a span that it is the twin of."""
    assert record.attributes == event.attributes
    assert (record.trace_id, record.span_id) == (span.trace_id, span.span_id)
    name = event.name.removeprefix("qemu.").upper()
    usual = SEVERITIES.get(name, INFO)
    failed = "error.type" in event.attributes
    assert record.severity == (max(usual, ERROR) if failed else usual)
    assert record.body.startswith(name)
    assert record.dropped == 0


@asynccontextmanager
async def stage(directory: Path, *args: str) -> AsyncIterator[Stage]:
    """Start a machine, ``vm``, with these arguments of QEMU."""
    async with _running({"vm": Machine(directory, "vm", *_heard("vm"), *args)}) as found:
        yield found


@asynccontextmanager
async def two_ends(directory: Path) -> AsyncIterator[Stage]:
    """Start a machine, ``vm``, and what it can migrate to, ``NEW``; by name and uuid the same."""
    source = Machine(directory, "src", "-name", "vm", *_heard("src"), uuid=UUID)
    incoming = ("-name", "vm", "-incoming", "defer")
    destination = Machine(directory, "dst", *incoming, *_heard("dst"), uuid=UUID)
    async with _running({"vm": source, NEW: destination}) as found:
        yield found


def _heard(name: str) -> tuple[str, str]:
    """Return the arguments for a monitor of the witness."""
    return "-qmp", f"unix:{name}.witness,server=on,wait=off"


@asynccontextmanager
async def _running(machines: dict[str, Machine]) -> AsyncIterator[Stage]:
    async with Receiver() as receiver, AsyncExitStack() as stack:
        found = Stage(machines, receiver)
        for vm, machine in machines.items():
            await stack.enter_async_context(machine)
            await found.introduce(vm)
            ear = found.ears[vm]
            task = asyncio.create_task(ear.listen(machine.directory / f"{machine.name}.witness"))
            stack.push_async_callback(_end, task)
            await ear.wait(lambda ear=ear: ear.ready)
        yield found


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
