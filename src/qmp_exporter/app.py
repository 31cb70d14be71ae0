"""The composition root: builds every part, hands inputs to the model and steps to the sinks."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics_exposition

from qmp_exporter import __version__
from qmp_exporter.catalog.decoder import decoder
from qmp_exporter.catalog.groups import names_by_group
from qmp_exporter.catalog.states import TargetState
from qmp_exporter.config.flags import FLAGS
from qmp_exporter.errors import ConfigError, QmpExporterError, first
from qmp_exporter.pipeline import Pipeline
from qmp_exporter.qmp.client import Limits
from qmp_exporter.qmp.context import Context
from qmp_exporter.qmp.entry import Entry
from qmp_exporter.qmp.order import Order
from qmp_exporter.qmp.timing import Timing
from qmp_exporter.qmp.turns import Turns
from qmp_exporter.qmp.unix import UnixTable
from qmp_exporter.service import Service
from qmp_exporter.sinks.log import REASONS, LogSink
from qmp_exporter.sinks.metrics import MetricsSink
from qmp_exporter.sinks.page import PageSink
from qmp_exporter.supervisor import Supervisor
from qmp_exporter.telemetry import logs
from qmp_exporter.telemetry.body import Piece
from qmp_exporter.telemetry.bucket import Bucket
from qmp_exporter.telemetry.exposition import OPENMETRICS, TEXT, wants_openmetrics
from qmp_exporter.telemetry.lines import Lines
from qmp_exporter.telemetry.self_metrics import SelfMetrics, names_of_process, registry
from qmp_exporter.view import View
from qmp_exporter.web import (
    HANDSHAKE_FAILURES,
    Address,
    Apart,
    Inherited,
    Server,
    build,
    parse_address,
)


if TYPE_CHECKING:
    from collections.abc import Callable

    from qmp_exporter.config.settings import Settings
    from qmp_exporter.otel import OpenTelemetry
    from qmp_exporter.sinks import Sink
    from qmp_exporter.telemetry.body import Body
    from qmp_exporter.web.security import Security


log = logging.getLogger(__name__)

TICK: Final = 1.0
"""Seconds between two looks at what only time changes."""

STALLED: Final = 5.0
"""Seconds without a tick after which the exporter is not healthy."""

FIXED: Final = (
    "listen_addresses",
    "systemd_socket",
    "telemetry_path",
    "max_requests",
    "page",
    "process_metrics",
    "web_config_file",
    "log_events",
    "max_log_events",
    "otel_events",
    "otel_client_addresses",
    "otel_shutdown_timeout",
)
"""Settings that a reload does not change."""

BURST: Final = 10.0
"""Seconds' worth of lines of events that may come at once."""

FLUSH: Final = 1.0
"""Seconds for the lines of events that are not written yet when the exporter stops."""

LOG: Final = ("log_level", "log_format", "max_log_lines")


class App:
    """The exporter.

    Args:
        settings: what it is to do.
        timing: time limits towards every monitor.
        reread: returns the settings as they are now, for a reload.
        service: the service that this is.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        timing: Timing = Timing(),  # noqa: B008 - frozen
        reread: Callable[[], Settings] | None = None,
        service: Service | None = None,
    ) -> None:
        self.settings = self._begun = settings
        self._timing = timing
        self._reread = reread
        self._service = service or Service({})
        self.own = SelfMetrics()
        self.metrics = MetricsSink(self._overflowed, settings.label_sets)
        self.page = PageSink()
        seen = settings.page and settings.telemetry_path != "/"
        self.otel = self._otel(settings)
        self._lines = Lines(sys.stdout.fileno()) if settings.log_events else None
        possible: tuple[Sink | None, ...] = (
            # First: it tells the others where in a trace they are.
            self.otel.spans if self.otel else None,
            self.metrics,
            self.otel.records if self.otel else None,
            self._log_sink(self._lines) if self._lines else None,
            self.page if seen else None,
        )
        self.sinks = tuple(sink for sink in possible if sink is not None)
        self.pipeline = Pipeline(self.sinks, self.own, self.metrics.decode_error)
        self.table = UnixTable()
        self._order, self._turns, self._entry = Order(), Turns(), Entry()
        self._decode = decoder()
        self.supervisor = Supervisor(settings, self._context(settings), self.pipeline, self.own)
        self._registry = registry(self.own, process=settings.process_metrics)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turned_at = monotonic()
        self._not_ready: str | None = "it is starting"
        self._reloading = asyncio.Lock()
        self._reloaded(successful=True)
        logs.limiter.suppressed = self._suppressed
        links = (
            (settings.telemetry_path, "Metrics"),
            ("/-/healthy", "Health"),
            ("/-/ready", "Readiness"),
            ("/config", "Configuration"),
        )
        self.view = View(self.pipeline.fleet, self.page, links)
        security = self._security(settings.web_config_file)
        web = build(
            render=self.render,
            overview=self.view.overview if settings.page else self.view.bare,
            machine=self.view.machine,
            journal=self.page.journal,
            config=self.config,
            reload=self._reload_from_afar,
            ready=lambda: self._not_ready,
            healthy=self._unhealthy,
            groups=names_by_group(names_of_process(self._registry)),
            telemetry_path=settings.telemetry_path,
            max_requests=settings.max_requests,
            page=settings.page,
            rejected=self._rejected,
            security=security,
        )
        addresses: list[Address] = [parse_address(text) for text in settings.listen_addresses]
        if settings.systemd_socket:
            addresses = [Inherited()]
        tls = security.handshakes(self._handshake_failed) if security else None
        self.server = Apart(Server(web, addresses, rejected=self._rejected, tls=tls))

    async def run(self, started: Callable[[], None] = lambda: None) -> None:
        """Export until cancelled, then stop within seconds.

        Args:
            started: called once HTTP is served and every monitor is being watched.

        Raises:
            ListenError: an address cannot be bound.
        """
        loop, hung_up = asyncio.get_running_loop(), asyncio.Event()
        self._loop = loop
        loop.add_signal_handler(signal.SIGHUP, hung_up.set)
        await self.server.bind()
        log.info("qmp-exporter %s listens on %s", __version__, ", ".join(self.server.bound))
        if os.geteuid() == 0:
            log.warning("qmp-exporter runs as root, which it does not need")
        try:
            async with asyncio.TaskGroup() as tasks:
                await self.supervisor.start(tasks)
                self._not_ready = None
                await self.server.start()  # not before a page shows all VMs
                if self.otel is not None:
                    self.otel.start(self.metrics, self._registry, self.server.bound)
                tasks.create_task(self._tick())
                tasks.create_task(self._reload_on(hung_up))
                started()
                self._service.ready()
                try:
                    await asyncio.Event().wait()
                finally:
                    self._not_ready = "it is stopping"
                    self._service.stopping()
        except BaseExceptionGroup as group:
            raise first(group) from group
        finally:
            await asyncio.gather(
                self.server.stop(), *((self.otel.stop(),) if self.otel is not None else ())
            )
            if self._lines is not None:
                await asyncio.to_thread(self._lines.close, FLUSH)
            # Not before: the signal would end us at once, and whoever still gets an answer.
            loop.remove_signal_handler(signal.SIGHUP)

    async def reload(self) -> None:
        """Read the configuration again, and do what it says; unchanged connections stay.

        Raises:
            ConfigError: it is wrong, or there is no time for it; then nothing has changed.
            ListenError: a socket for QEMU to dial in cannot be bound; then nothing has changed.
        """
        async with self._reloading:
            self._service.reloading()
            try:
                await self._reload()
            finally:
                if self._not_ready is None:
                    self._service.ready()

    async def _reload(self) -> None:
        try:
            settings = await self._settings_now()
            self.supervisor.apply(settings, self._context(settings))
        except Exception:
            self._reloaded(successful=False)
            raise
        fixed = [key for key in FIXED if getattr(settings, key) != getattr(self._begun, key)]
        if fixed:
            keys = [flag.key for flag in FLAGS if flag.setting in fixed]
            log.warning("changed, and takes a restart: %s", ", ".join(keys))
        self.metrics.label_sets = settings.label_sets
        if any(getattr(settings, key) != getattr(self.settings, key) for key in LOG):
            logs.configure(settings.log_level, settings.log_format, settings.max_log_lines)
        self.settings = settings
        self._reloaded(successful=True)
        log.info("the configuration was read again")

    async def _settings_now(self) -> Settings:
        settings = self.settings
        if self._reread is not None:  # a long file takes its time
            settings = await asyncio.to_thread(self._reread)
        if self._not_ready is not None:
            raise ConfigError(self._not_ready)
        return settings

    def render(self, accept: str | None, names: frozenset[str]) -> tuple[Body, str]:
        """Return the exposition of all metrics and its content type; thread-safe."""
        openmetrics = wants_openmetrics(accept or "")
        encode = openmetrics_exposition.generate_latest if openmetrics else generate_latest
        # First what the exporter tells of itself: what it has done, the VMs are to show.
        own = encode(self._registry.restricted_registry(names) if names else self._registry)
        vms = self.metrics.pieces(monotonic(), openmetrics=openmetrics, names=names)
        return [*vms, Piece(own)], OPENMETRICS if openmetrics else TEXT

    def config(self) -> str:
        """Return the settings as a file; thread-safe."""
        # Imported here: YAML is large, and most runs do without.
        from qmp_exporter.config.effective import effective  # noqa: PLC0415

        return effective(self.settings)

    # ---- parts

    def _context(self, settings: Settings) -> Context:
        return Context(
            self._decode,
            self.table,
            self._order,
            self._turns,
            self._entry,
            self._timing,
            Limits(settings.max_line, settings.max_lines),
            settings.migration_events,
            self._answered,
            self._yielded,
        )

    def _log_sink(self, lines: Lines) -> LogSink:
        def dropped(reason: str) -> None:
            self.own.add("qmp_exporter_log_events_dropped_total", 1, reason)

        self.own.preset("qmp_exporter_sink_errors_total", (LogSink.name,))
        self.own.preset("qmp_exporter_log_events_dropped_total", REASONS)
        rate = self.settings.max_log_events
        allowed = Bucket(1 / rate, rate * BURST).take if rate else lambda: True
        return LogSink(lines.write, allowed, dropped)

    def _otel(self, settings: Settings) -> OpenTelemetry | None:
        if settings.otel is None:
            return None
        # Imported here: OpenTelemetry is large, and most exporters do without.
        from qmp_exporter.otel import OpenTelemetry  # noqa: PLC0415

        return OpenTelemetry(settings.otel, settings, self.own, self._overflowed)

    def _security(self, path: str) -> Security | None:
        if not path:
            return None
        # Imported here: it takes YAML, and most exporters do without.
        from qmp_exporter.web.security import Security  # noqa: PLC0415

        def read(successful: bool) -> None:  # noqa: FBT001 - a callback
            self.own.set("qmp_exporter_web_config_last_reload_successful", float(successful))

        self.own.preset("qmp_exporter_tls_handshake_failures_total", HANDSHAKE_FAILURES)
        read(True)  # noqa: FBT003 - as above
        return Security(path, read)

    async def _tick(self) -> None:
        lag = self.own.histogram("qmp_exporter_event_loop_lag_seconds")
        while True:
            due = monotonic() + TICK
            await asyncio.sleep(TICK)
            now = self._turned_at = monotonic()
            lag.observe(max(0.0, now - due))
            try:
                self.supervisor.tick(now)
                self.page.tick(now)
                if self.otel is not None:
                    self.otel.tick(now)
                self._tell_service(now)
            except Exception:
                log.exception("a fault of the exporter")

    def _tell_service(self, now: float) -> None:
        """Say how it is, and that all of it works: this loop, which asks, and that of HTTP."""
        states = self.own.rows("qmp_exporter_targets")
        connected = states.get((TargetState.CONNECTED,), 0)
        self._service.status(f"{sum(states.values()):.0f} monitors, {connected:.0f} connected")
        self.server.beat()
        if now - self.server.turned_at <= STALLED + TICK:
            self._service.alive(now)

    async def _reload_from_afar(self) -> None:
        """Reload, for a caller in another thread."""
        assert self._loop is not None  # noqa: S101 - it serves
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self.reload(), self._loop))

    async def _reload_on(self, hung_up: asyncio.Event) -> None:
        """Reload on each SIGHUP; of those that come meanwhile, once."""
        while True:
            await hung_up.wait()
            hung_up.clear()
            try:
                await self.reload()
            except QmpExporterError as err:
                log.error("the configuration stays as it was: %s", err)  # noqa: TRY400 - one line
            except Exception:
                log.exception("a fault of the exporter: the configuration may be half read")

    def _reloaded(self, *, successful: bool) -> None:
        self.own.set("qmp_exporter_config_last_reload_successful", float(successful))
        if successful:
            self.own.set("qmp_exporter_config_last_reload_success_timestamp_seconds", time())

    def _handshake_failed(self, reason: str) -> None:
        self.own.add("qmp_exporter_tls_handshake_failures_total", 1, reason)

    def _answered(self, command: str, seconds: float) -> None:
        self.own.histogram("qmp_exporter_command_duration_seconds", command).observe(seconds)

    def _yielded(self) -> None:
        self.own.add("qmp_exporter_reads_deferred_total", 1)

    def _suppressed(self, lines: int) -> None:
        self.own.add("qmp_exporter_log_lines_suppressed_total", lines)

    def _overflowed(self, metric: str) -> None:
        self.own.add("qmp_exporter_label_overflows_total", 1, metric)

    def _rejected(self, code: str) -> None:
        self.own.add("qmp_exporter_http_rejected_total", 1, code)

    def _unhealthy(self) -> str | None:
        stalled = monotonic() - self._turned_at
        return None if stalled <= STALLED + TICK else f"the event loop stalled for {stalled:.0f} s"
