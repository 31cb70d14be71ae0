"""Providers that export to a collector of the tests."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING

from qmp_exporter.catalog.spec import Severity
from qmp_exporter.config.otel import read_otel
from qmp_exporter.model.inputs import Identity
from qmp_exporter.telemetry.otel.events import Description
from qmp_exporter.telemetry.otel.providers import Providers
from qmp_exporter.telemetry.self_metrics import SelfMetrics


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from qmp_exporter.telemetry.otel.counts import Tally


PATIENCE = 30.0
WEB01 = Identity(
    "web01", "6a8a2a28-0f6b-4d0a-8a4d-3a0a4b4d9f11", "10.0.2", "x86_64", "/run/web01.sock"
)


class Exporting:
    """Providers under test.

    Attributes:
        providers: what exports.
        own: where the counts are shown.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        otel = read_otel(environment)
        assert otel is not None, environment
        self.own = SelfMetrics()
        self.providers = Providers(otel, self.own)

    def spans(self, number: int = 1, name: str = "qemu.stop") -> None:
        """End so many spans."""
        tracer = self.providers.tracer(WEB01, "web01")
        for _ in range(number):
            tracer.start_span(name).end()

    def records(self, number: int = 1, event: str = "qemu.stop") -> None:
        """Emit so many log records."""
        logger = self.providers.logger(WEB01, "web01")
        for n in range(number):
            logger.emit(Description(event, Severity.INFO, "", {"n": n}), n)

    def tally(self, signal: str = "traces") -> Tally:
        """The counts of a signal."""
        found = self.providers.counts[signal].tally
        assert found.received == found.queued + found.exported + found.failed + found.dropped
        return found

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until counts or other things of threads are so."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not reached():  # noqa: ASYNC110 - threads tell no event of this loop
                    await asyncio.sleep(0.005)
        except TimeoutError:
            tallies = {signal: counts.tally for signal, counts in self.providers.counts.items()}
            raise AssertionError(f"waited {PATIENCE} s: {tallies}") from None

    async def close(self, within: float = PATIENCE) -> float:
        """Close; return the seconds that it took."""
        began = monotonic()
        await asyncio.to_thread(self.providers.close, within)
        return monotonic() - began

    def shown(self, signal: str = "traces") -> dict[str, float]:
        """What /metrics says of a signal, by the names of metrics without what they begin with."""
        list(self.own.collect())
        start = "qmp_exporter_otel_"
        names = ("queued", "exported_total", "failed_total", "dropped_total")
        return {name: self.own.rows(start + name)[signal,] for name in names}


@asynccontextmanager
async def exporting(environment: Mapping[str, str]) -> AsyncIterator[Exporting]:
    """Run providers."""
    running = Exporting(environment)
    try:
        yield running
    finally:
        await running.close(1.0)
