"""Sends all metrics by OTLP, again and again, from a thread of its own."""

from __future__ import annotations

import logging
import threading
from time import monotonic, perf_counter, sleep, time_ns
from typing import TYPE_CHECKING, Any, Final, Protocol

from qmp_exporter.telemetry.otel.health import Health
from qmp_exporter.telemetry.otel.ledger import Ledger
from qmp_exporter.telemetry.otel.request import Request


if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

    from qmp_exporter.config.otel import Metrics
    from qmp_exporter.telemetry.otel.counts import Counts
    from qmp_exporter.telemetry.otel.exporters import Way
    from qmp_exporter.telemetry.otel.ledger import Entry
    from qmp_exporter.telemetry.samples import Samples


log = logging.getLogger(__name__)

FIRST: Final = 5.0
"""Seconds until the first push: long enough to have met the VMs."""

STRETCH: Final = 0.001
PAUSE: Final = 0.0002
"""Seconds of work, and of a rest after it, in which the event loop goes on; without it, that waits
up to ``sys.getswitchinterval()``, 5 ms, each time it has something to do."""


class Source(Protocol):
    """Where samples come from."""

    @property
    def began(self) -> int:
        """Unix nanoseconds since when they count."""

    def samples(self) -> Iterable[list[Samples]]:
        """Return all that a scrape shows, those of one moment together."""

    def last(self, owner: object) -> tuple[list[Samples], list[Samples]]:
        """Return the last samples of an owner that is gone, and those of who took its place."""


class Push:
    """Sends everything that a scrape shows, in as many requests as it takes.

    What fails is not sent again: the next push has it. Failures may cost a push as long as one
    export may take; then the rest of it is dropped.

    Args:
        way: where it goes.
        source: what it sends.
        settings: when and how.
        resource: what is said of the exporter itself.
        counts: of the points.
    """

    def __init__(
        self, way: Way[Any], source: Source, settings: Metrics, resource: Resource, counts: Counts
    ) -> None:
        self._way = way
        self._source = source
        self._settings = settings
        self._resource = resource
        self._counts = counts
        self._health = Health("metrics", way.name, counts)
        self._ledger = Ledger(source.began, settings.temporality)
        self._request = self._new()
        self._wasted = 0.0
        self._rested_at = perf_counter()
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._sending = 0
        self._over = False
        self._thread = threading.Thread(target=self._run, name="qmp-exporter-metrics", daemon=True)

    def start(self) -> None:
        """Begin to push."""
        self._thread.start()

    def end(self) -> None:
        """Push once more, now, and then no more."""
        self._ending.set()

    def close(self, deadline: float) -> int:
        """Wait for that, then give up; return how many points that were being sent.

        Args:
            deadline: monotonic seconds.
        """
        self.end()
        self._thread.join(max(0.0, deadline - monotonic()))
        with self._lock:
            left = self._sending
            self._over = True
            self._counts.drop(left)
        if self._thread.is_alive():
            # In a thread: it may wait for the request that hangs.
            threading.Thread(target=self._way.close, daemon=True).start()
        return left

    def push(self, *, last: bool = False) -> None:
        """Send everything once.

        Args:
            last: whether to finish it though the end has come.
        """
        self._ledger.begin()
        self._wasted = 0.0
        self._request = self._new()
        for group in self._source.samples():
            if self._ending.is_set() and not last:
                return  # the last push has all of it
            now = time_ns()
            for samples in group:
                if self._gives_up():
                    self._ledger.skip(samples)
                    self._drop(len(samples.rows))
                else:
                    self._add(self._ledger.enter(samples, now))
            self._rest()
        for entry in self._ledger.part(self._source.last, time_ns()):
            self._add(entry)
        if self._request:
            self._send()

    def _new(self) -> Request:
        return Request(self._resource, self._ledger.delta)

    def _add(self, entry: Entry) -> None:
        if not self._request.takes(entry):
            self._send()
        self._request.add(entry)

    def _send(self) -> None:
        """Send what is put together, and begin anew."""
        request, self._request = self._request, self._new()
        points = len(request)
        if self._gives_up():
            self._drop(points)
            return
        with self._lock:
            self._sending = points
            self._counts.receive(points)
        began = monotonic()
        failed, reason = self._way.send(request)
        with self._lock:
            if self._over:
                return
            self._sending = 0
            self._counts.sent(points - failed, failed)
        if failed < points:
            request.arrived()
        if reason:
            self._wasted += monotonic() - began
            self._health.failed(reason)
        else:
            self._health.well()

    def _gives_up(self) -> bool:
        return self._over or self._wasted >= self._settings.timeout

    def _drop(self, points: int) -> None:
        self._counts.receive(points)
        self._counts.drop(points)

    def _rest(self) -> None:
        now = perf_counter()
        if now - self._rested_at > STRETCH:
            sleep(PAUSE)
            self._rested_at = perf_counter()

    def _run(self) -> None:
        due = monotonic() + min(FIRST, self._settings.interval)
        while not self._ending.wait(max(0.0, due - monotonic())):
            self._safely(last=False)
            due = max(due + self._settings.interval, monotonic())
        self._safely(last=True)
        if not self._over:
            self._way.close()

    def _safely(self, *, last: bool) -> None:
        try:
            self.push(last=last)
        except Exception:  # whatever it is, the next one may do
            log.exception("a fault of the exporter")
