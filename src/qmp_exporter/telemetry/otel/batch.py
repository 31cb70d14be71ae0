"""A bounded queue whose items are exported in batches, by a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic, thread_time
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from qmp_exporter.telemetry.otel.health import Health


if TYPE_CHECKING:
    from collections.abc import Callable

    from qmp_exporter.config.otel import Signal
    from qmp_exporter.telemetry.otel.counts import Counts
    from qmp_exporter.telemetry.otel.exporters import Way

REST: Final = 2
"""Times the CPU time of a batch that its thread rests after it: in Python one thread computes at a
time, and what counts events is not to wait for what exports them."""

T = TypeVar("T")

MOST_WAITING: Final = 16_384
"""Weight of what may wait: events on spans have up to 2 KiB each, and a span has up to 100. A queue
that was set to more items has room for as many without events."""

MOST_SENT: Final = 1_536
"""Weight of one export: a collector takes 4 MiB by gRPC, unless it is told to take more. A batch
that was set to more items is one of as many without events."""


class Batch(Generic[T]):
    """Takes items without waiting for anything, and exports them.

    Where there is no room the oldest give way. What an export that has not ended when time is up
    may still achieve is not known: its items are dropped.

    Args:
        what: is exported: ``traces`` or ``logs``.
        way: where it goes.
        signal: the limits.
        counts: of the signal.
        weigh: returns how much of the weight that may wait an item has.
    """

    def __init__(
        self,
        what: str,
        way: Way[T],
        signal: Signal,
        counts: Counts,
        weigh: Callable[[T], int] = lambda _: 1,
    ) -> None:
        self._way = way
        self._counts = counts
        self._health = Health(what, way.name, counts)
        self._room = signal.queue
        self._size = signal.batch
        self._delay = signal.delay
        self._weigh = weigh
        self._most_waiting = max(MOST_WAITING, signal.queue)
        self._most_sent = max(MOST_SENT, signal.batch)
        self._weight = 0
        self._queue: deque[tuple[T, int]] = deque()
        self._sending = 0
        self._enough = signal.batch if signal.delay else 1
        self._ending = False
        self._over = False
        self._lock = threading.Lock()  # by itself it is taken in less than half of the time
        self._changed = threading.Condition(self._lock)
        self._thread = threading.Thread(target=self._run, name=f"qmp-exporter-{what}", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Take an item, in microseconds; after the end it is dropped."""
        gone = []
        weight = self._weigh(item)
        with self._lock:
            if self._ending:
                self._counts.receive()
                self._counts.drop()
                return
            self._weight += weight
            while self._queue and (
                len(self._queue) >= self._room or self._weight > self._most_waiting
            ):
                gone.append(self._pop())
                self._counts.drop()
            self._counts.receive()
            self._queue.append((item, weight))
            heavy = self._weight >= self._most_sent > self._weight - weight
            if heavy or len(self._queue) in (1, self._enough):
                self._changed.notify_all()
        del gone  # not earlier: with much on it, that takes its time

    def end(self) -> None:
        """Take nothing more, and export what waits as soon as can be."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def close(self, deadline: float) -> int:
        """Wait until all is exported, then give up the rest; return how many items that were.

        Args:
            deadline: monotonic seconds.
        """
        self.end()
        self._thread.join(max(0.0, deadline - monotonic()))
        with self._changed:
            left = len(self._queue) + self._sending
            self._over = True
            self._queue.clear()
            self._weight = 0
            self._sending = 0
            self._counts.drop(left)
        if self._thread.is_alive():
            # In a thread: it may wait for the export that hangs.
            threading.Thread(target=self._way.close, daemon=True).start()
        return left

    def _run(self) -> None:
        while batch := self._next():
            began = thread_time()
            failed, reason = self._way.send(batch)
            self._rest(REST * (thread_time() - began))
            with self._changed:
                if self._over:
                    return
                self._counts.sent(len(batch) - failed, failed)
                self._sending = 0
                self._changed.notify_all()
            if reason:
                self._health.failed(reason)
            else:
                self._health.well()
        if not self._over:
            self._way.close()

    def _rest(self, seconds: float) -> None:
        """Give way to counting, unless this is the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ending, seconds)

    def _next(self) -> list[T]:
        """Wait for the next batch and return it; an empty one at the end."""
        with self._changed:
            while not self._queue:
                if self._ending:
                    return []
                self._changed.wait()
            self._changed.wait_for(
                lambda: (
                    len(self._queue) >= self._enough
                    or self._weight >= self._most_sent
                    or self._ending
                ),
                self._delay,
            )
            if self._over:
                return []
            least = self._weight - self._most_sent
            batch = [self._pop()]
            while self._queue and len(batch) < self._size and self._weight > least:
                batch.append(self._pop())
            self._sending = len(batch)
            return batch

    def _pop(self) -> T:
        item, weight = self._queue.popleft()
        self._weight -= weight
        return item
