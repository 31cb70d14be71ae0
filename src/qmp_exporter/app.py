"""The composition root: builds every part, hands inputs to the model and steps to the sinks."""

from __future__ import annotations

import asyncio
import logging
import os
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics_exposition

from qmp_exporter import __version__
from qmp_exporter.catalog.decoder import decoder
from qmp_exporter.discovery.find import Search
from qmp_exporter.model.changes import MigrationEnded
from qmp_exporter.model.event import Event
from qmp_exporter.model.fleet import Fleet
from qmp_exporter.model.inputs import Link
from qmp_exporter.qmp.session import Observer, Session
from qmp_exporter.qmp.timing import Timing
from qmp_exporter.qmp.unix import UnixTable
from qmp_exporter.sinks.metrics import MetricsSink
from qmp_exporter.sinks.page import PageSink
from qmp_exporter.telemetry.exposition import OPENMETRICS, TEXT, wants_openmetrics
from qmp_exporter.telemetry.self_metrics import SelfMetrics, registry
from qmp_exporter.web import Overview, Row, Server, build, parse_address


if TYPE_CHECKING:
    from collections.abc import Callable

    from qmp_exporter.catalog.states import TargetState
    from qmp_exporter.config.settings import Settings
    from qmp_exporter.discovery.scan import Found
    from qmp_exporter.model.fleet import Fed, Member
    from qmp_exporter.model.inputs import Ask, Input
    from qmp_exporter.model.target import Target
    from qmp_exporter.model.vm import VM
    from qmp_exporter.sinks import Sink


log = logging.getLogger(__name__)

TICK: Final = 1.0
"""Seconds between two looks at what only time changes."""

STALLED: Final = 5.0
"""Seconds without a tick after which the exporter is not healthy."""

_EOF: Final = b"# EOF\n"


class App:
    """The exporter.

    Args:
        settings: what it is to do.
        timing: time limits towards every monitor.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        timing: Timing = Timing(),  # noqa: B008 - frozen
    ) -> None:
        self.settings = settings
        self._timing = timing
        self.own = SelfMetrics()
        self.fleet = Fleet()
        self.metrics = MetricsSink(self._overflowed, settings.label_sets)
        self.page = PageSink()
        self.sinks: tuple[Sink, ...] = (self.metrics, self.page)
        self._registry = registry(self.own, process=settings.process_metrics)
        self._delays = self.own.histogram("qmp_exporter_event_delay_seconds")
        self._sessions: dict[str, tuple[Session, asyncio.Task[None]]] = {}
        self._skipped: frozenset[str] = frozenset()
        self._tasks: asyncio.TaskGroup
        self._shown: set[str] = set()
        self._table = UnixTable()
        self._decode = decoder()
        self._turned_at = monotonic()
        self._ready = False
        web = build(
            render=self.render,
            overview=self.overview,
            ready=lambda: None if self._ready else "it is starting",
            healthy=self._unhealthy,
            telemetry_path=settings.telemetry_path,
            max_requests=settings.max_requests,
            page=settings.page,
            rejected=self._rejected,
        )
        addresses = [parse_address(text) for text in settings.listen_addresses]
        self.server = Server(web, addresses, rejected=self._rejected)

    async def run(self, started: Callable[[], None] = lambda: None) -> None:
        """Export until cancelled, then stop within seconds.

        Args:
            started: called once HTTP is served and every monitor is being watched.

        Raises:
            ListenError: an address cannot be bound.
        """
        await self.server.start()
        log.info("qmp-exporter %s listens on %s", __version__, ", ".join(self.server.bound))
        if os.geteuid() == 0:
            log.warning("qmp-exporter runs as root, which it does not need")
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for target in self.settings.targets:
                    self._start(target)
                if self.settings.patterns:
                    search = Search(
                        self.settings.patterns, self.settings.max_targets, self._discovered
                    )
                    await search.once()
                    tasks.create_task(search.run())
                tasks.create_task(self._tick())
                self._ready = True
                started()
        finally:
            self._ready = False
            await self.server.stop()

    def feed(self, address: str, given: Input) -> tuple[Ask, ...]:
        """Apply an input to a VM and hand the step to every sink; return what to ask."""
        fed = self.fleet.feed(address, given)
        for old, new in fed.renames:
            self._rename(old, new)
        if fed.step.changes or not isinstance(given, Event):
            self._note(given, fed)
        if not fed.name:  # ended, and another VM has its name now
            return fed.step.asks
        self._show(fed.name, fed.before)
        for sink in self.sinks:
            try:
                sink.take(fed.name, given, fed.before, fed.step)
            except Exception as err:  # noqa: BLE001 - whatever it is, the others go on
                self._sink_failed(sink, err)
        if isinstance(given, Event):
            self._delays.observe(max(0.0, time() - given.time))
        return fed.step.asks

    def decode_error(self, address: str, event: str) -> None:
        """Count a line that is not the event that it claims to be."""
        name = self.fleet.name(address)
        if name in self._shown:
            self.metrics.decode_error(name, event)

    def render(self, accept: str | None, names: frozenset[str]) -> tuple[bytes, str]:
        """Return the exposition of all metrics and its content type; thread-safe."""
        openmetrics = wants_openmetrics(accept or "")
        encode = openmetrics_exposition.generate_latest if openmetrics else generate_latest
        vms = self.metrics.render(monotonic(), openmetrics=openmetrics, names=names)
        own = encode(self._registry.restricted_registry(names) if names else self._registry)
        body = vms.encode() + own.removesuffix(_EOF)
        return (body + _EOF, OPENMETRICS) if openmetrics else (body, TEXT)

    def overview(self) -> Overview:
        """Return what the landing page shows."""
        now = monotonic()
        links = (
            (self.settings.telemetry_path, "Metrics"),
            ("/-/healthy", "Health"),
            ("/-/ready", "Readiness"),
        )
        return Overview(__version__, time(), tuple(self._row(m, now) for m in self.fleet), links)

    # ---- targets

    def _start(self, target: Target) -> None:
        """Watch a monitor from now on."""
        session = self._watch(target)
        task = self._tasks.create_task(session.run(), name=target.address)
        self._sessions[target.address] = (session, task)

    def _stop(self, address: str, state: TargetState) -> None:
        """Watch a monitor no more, which was in that state last."""
        _, task = self._sessions.pop(address)
        task.cancel()
        self.own.add("qmp_exporter_targets", -1, state)

    def _discovered(self, found: Found) -> None:
        """Start with the monitors that a scan found, and leave those that went unreached."""
        for address, target in found.targets.items():
            if address in self._sessions:
                self._sessions[address][0].wake()
            else:
                self._start(target)
        new = found.skipped.keys() - self._skipped
        for reason in sorted({found.skipped[path] for path in new}):
            paths = sorted(path for path in new if found.skipped[path] == reason)
            self.own.add("qmp_exporter_discovery_skipped_total", len(paths), reason)
            log.warning("not watched: %d paths, %s, such as %s", len(paths), reason, paths[0])
        self._skipped = frozenset(found.skipped)
        for address, (session, _) in list(self._sessions.items()):
            if not session.target.named and address not in found.targets:
                session.wake()
                state = self.fleet.vm(address).target
                name = self.fleet.leave(address)
                if name is not None:
                    self._stop(address, state)
                    self._forget(name)

    # ---- parts

    def _watch(self, target: Target) -> Session:
        name = self.fleet.add(target)
        vm = self.fleet.vm(target.address)
        self._show(name, vm)
        self.own.add("qmp_exporter_targets", 1, vm.target)
        return Session(
            target,
            _Observer(self, target.address),
            self._decode,
            self._table,
            migration_events=self.settings.migration_events,
            timing=self._timing,
        )

    async def _tick(self) -> None:
        lag = self.own.histogram("qmp_exporter_event_loop_lag_seconds")
        while True:
            due = monotonic() + TICK
            await asyncio.sleep(TICK)
            now = self._turned_at = monotonic()
            lag.observe(max(0.0, now - due))
            for session, _ in self._sessions.values():
                session.tick(now)
            self._expire(now - self.settings.vm_grace)

    def _expire(self, deadline: float) -> None:
        """Drop the series of what ended before ``deadline``; a named target begins anew."""
        names, left = self.fleet.expire(deadline)
        for name in names:
            self._forget(name)
        for address, state in left:
            self._stop(address, state)
        for member in self.fleet:
            self._show(member.name, member.vm)

    def _show(self, name: str, vm: VM) -> None:
        """Let the sinks take in a VM that they do not have."""
        if name not in self._shown:
            self._shown.add(name)
            self._each(lambda sink: sink.add(name, vm))

    def _forget(self, name: str) -> None:
        self._shown.discard(name)
        self._each(lambda sink: sink.forget(name))

    def _rename(self, old: str, new: str) -> None:
        self._shown.discard(old)
        self._shown.add(new)
        self._each(lambda sink: sink.rename(old, new))

    def _note(self, given: Input, fed: Fed) -> None:
        """Keep the exporter's own metrics of what an input meant."""
        for change in fed.step.changes:
            if isinstance(change, MigrationEnded) and change.seconds is not None:
                self.own.histogram(
                    "qmp_exporter_fleet_migration_duration_seconds", change.role, change.outcome
                ).observe(change.seconds)
        if isinstance(given, Link) and fed.before.target is not fed.step.vm.target:
            self.own.add("qmp_exporter_targets", -1, fed.before.target)
            self.own.add("qmp_exporter_targets", 1, fed.step.vm.target)

    def _each(self, do: Callable[[Sink], None]) -> None:
        """Do something with every sink; one that fails does not keep it from the others."""
        for sink in self.sinks:
            try:
                do(sink)
            except Exception as err:  # noqa: BLE001 - whatever it is, the others go on
                self._sink_failed(sink, err)

    def _sink_failed(self, sink: Sink, err: Exception) -> None:
        log.error("the sink %s failed", sink.name, exc_info=err)
        self.own.add("qmp_exporter_sink_errors_total", 1, sink.name)

    def _overflowed(self, metric: str) -> None:
        self.own.add("qmp_exporter_label_overflows_total", 1, metric)

    def _rejected(self, code: str) -> None:
        self.own.add("qmp_exporter_http_rejected_total", 1, code)

    def _unhealthy(self) -> str | None:
        stalled = monotonic() - self._turned_at
        return None if stalled <= STALLED + TICK else f"the event loop stalled for {stalled:.0f} s"

    def _row(self, member: Member, now: float) -> Row:
        vm = member.vm
        glance = self.page.glance(member.name)
        return Row(
            vm=member.name,
            monitor=member.target.address,
            state=vm.target,
            status=vm.status,
            cause=vm.stops.cause or "",
            stopped_seconds=vm.stops.stopped_for(now),
            events=glance.total,
            last_event=glance.last_event,
            last_event_time=glance.last_time,
            io_errors=glance.of("BLOCK_IO_ERROR"),
            panics=glance.of("GUEST_PANICKED"),
            watchdogs=glance.of("WATCHDOG"),
            sessions=sum(clients.sessions for clients in vm.displays.values()),
            migration=vm.migration.status if vm.migration.open else "",
        )


class _Observer(Observer):
    """What the session of one monitor tells, with the address of that monitor."""

    def __init__(self, app: App, address: str) -> None:
        self._app = app
        self._address = address

    def feed(self, given: Input) -> tuple[Ask, ...]:
        return self._app.feed(self._address, given)

    def decode_error(self, event: str) -> None:
        self._app.decode_error(self._address, event)

    def answered(self, command: str, seconds: float) -> None:
        self._app.own.histogram("qmp_exporter_command_duration_seconds", command).observe(seconds)
