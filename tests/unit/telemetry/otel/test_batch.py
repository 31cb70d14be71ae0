"""The queue in front of an exporter: bounded, exact, never in the way."""

from __future__ import annotations

import random
import threading
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

from qmp_exporter.config.otel import Signal
from qmp_exporter.telemetry.otel import batch
from qmp_exporter.telemetry.otel.batch import Batch
from qmp_exporter.telemetry.otel.counts import Counts


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PATIENCE = 30.0
LATER = 3600.0
"""Seconds after which no test is still there."""


class Way:
    """A way out that does as it is told.

    Attributes:
        batches: that were sent, in order.
        open: whether it sends now; else it hangs.
        fails: items that it fails to send of each batch.
    """

    name = "nowhere"

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()
        self.open.set()
        self.fails = 0
        self.closed = 0

    def send(self, items: Sequence[int]) -> tuple[int, str]:
        """Send."""
        self.entered.release()
        assert self.open.wait(PATIENCE)
        self.batches.append(list(items))
        failed = min(self.fails, len(items))
        return failed, "as the test says" if failed else ""

    def close(self) -> None:
        """Close."""
        self.closed += 1

    def until_entered(self) -> None:
        """Wait until the next batch is being sent."""
        assert self.entered.acquire(timeout=PATIENCE)


class Queue:
    """A batch under test."""

    def __init__(self, weigh: Callable[[int], int] = lambda _: 1, **limits: Any) -> None:
        signal = Signal(("otlp",), **{"queue": 10, "batch": 4, "delay": LATER} | limits)
        self.way = Way()
        self.counts = Counts()
        self.batch: Batch[int] = Batch("traces", self.way, signal, self.counts, weigh)  # type: ignore[arg-type]

    def put(self, *items: int) -> None:
        """Put items."""
        for item in items:
            self.batch.put(item)

    @property
    def numbers(self) -> tuple[int, int, int, int, int]:
        """Received, queued, exported, failed and dropped."""
        found = self.counts.tally
        return found.received, found.queued, found.exported, found.failed, found.dropped

    def until_sent(self, number: int) -> None:
        """Wait until so many items were sent, well or not."""
        deadline = monotonic() + PATIENCE
        while self.numbers[2] + self.numbers[3] < number:
            assert monotonic() < deadline, self.numbers
            sleep(0.001)

    def close(self, seconds: float = PATIENCE) -> int:
        """Close; return how many were given up."""
        return self.batch.close(monotonic() + seconds)


@pytest.fixture
def queue() -> Iterator[Queue]:
    """A queue of 10, in batches of 4, which nothing but a full batch starts."""
    made = Queue()
    yield made
    made.way.open.set()
    made.close()


def test_a_full_batch_is_sent_at_once_and_the_rest_waits(queue: Queue) -> None:
    """In the order in which items came; what waits is queued."""
    queue.put(1, 2, 3)
    assert queue.numbers == (3, 3, 0, 0, 0)
    queue.put(4)
    queue.way.until_entered()
    queue.until_sent(4)
    assert queue.way.batches == [[1, 2, 3, 4]]
    queue.put(5)
    assert queue.numbers == (5, 1, 4, 0, 0)


def test_what_waited_long_enough_is_sent() -> None:
    """Though it is no full batch."""
    queue = Queue(delay=0.01)
    queue.put(1)
    queue.way.until_entered()
    queue.until_sent(1)
    assert queue.way.batches == [[1]]
    queue.close()


def test_without_a_delay_nothing_waits() -> None:
    """Each is sent as soon as the one before is."""
    queue = Queue(delay=0.0)
    for number in range(3):
        queue.put(number)
        queue.way.until_entered()
        queue.until_sent(number + 1)
    assert queue.way.batches == [[0], [1], [2]]
    queue.close()


def test_the_oldest_give_way_to_the_newest(queue: Queue) -> None:
    """What is being sent counts as queued, and is not of the room that there is."""
    queue.way.open.clear()
    queue.put(*range(4))
    queue.way.until_entered()
    queue.put(*range(4, 19))
    assert queue.numbers == (19, 14, 0, 0, 5)
    queue.way.open.set()
    assert queue.close() == 0
    assert [item for sent in queue.way.batches for item in sent] == [*range(4), *range(9, 19)]
    assert queue.numbers == (19, 0, 14, 0, 5)


def test_what_is_heavy_takes_more_room() -> None:
    """The oldest give way, however few items there are; a heavy one goes by itself."""
    queue = Queue(lambda item: item, queue=2048, batch=512)
    queue.way.open.clear()
    queue.put(batch.MOST_SENT)
    queue.way.until_entered()
    queue.put(1, batch.MOST_WAITING - 1)
    assert queue.numbers == (3, 3, 0, 0, 0)
    queue.put(2)
    assert queue.numbers == (4, 2, 0, 0, 2)
    queue.put(3)
    assert queue.numbers == (5, 3, 0, 0, 2)
    queue.way.open.set()
    queue.close()
    assert queue.way.batches == [[batch.MOST_SENT], [2, 3]]


def test_one_export_has_a_bounded_weight() -> None:
    """A batch ends with the item that fills it."""
    queue = Queue(lambda item: item, queue=2048, batch=512)
    half = batch.MOST_SENT // 2
    queue.put(half - 1)
    queue.put(half)
    queue.put(half)
    queue.close()
    assert queue.way.batches == [[half - 1, half, half]]
    queue = Queue(lambda item: item, queue=2048, batch=512)
    queue.way.open.clear()
    queue.put(batch.MOST_SENT)
    queue.way.until_entered()
    queue.put(half, half, half)
    queue.way.open.set()
    queue.close()
    assert queue.way.batches == [[batch.MOST_SENT], [half, half], [half]]


def test_a_queue_and_a_batch_that_were_set_to_more_have_more() -> None:
    """The bounds of weight are no bounds of the number of items."""
    most = batch.MOST_WAITING + 100
    queue = Queue(queue=most, batch=most)
    queue.put(*range(most))
    queue.close()
    assert queue.way.batches == [[*range(most)]]


def test_what_fails_is_counted_by_item(queue: Queue) -> None:
    """A part of a batch may fail."""
    queue.way.fails = 3
    queue.put(1, 2, 3, 4)
    assert queue.close() == 0
    assert queue.numbers == (4, 0, 1, 3, 0)


def test_the_end_is_in_time_though_an_export_hangs(queue: Queue) -> None:
    """All that is left is dropped, what hangs, too; whatever that achieves yet is not counted."""
    queue.way.open.clear()
    queue.put(*range(9))
    queue.way.until_entered()
    assert queue.close(0.05) == 9
    assert queue.numbers == (9, 0, 0, 0, 9)
    queue.way.open.set()
    queue.batch._thread.join(PATIENCE)
    assert queue.numbers == (9, 0, 0, 0, 9)
    assert (len(queue.way.batches), queue.way.closed) == (1, 1)


def test_the_end_may_come_before_the_thread_has_turned_round() -> None:
    """What waits is dropped then, the way is closed, and the thread ends without an error."""
    for _ in range(50):
        queue = Queue()
        queue.put(1)
        deadline = monotonic() + PATIENCE
        while not queue.batch._changed._waiters and monotonic() < deadline:  # type: ignore[attr-defined]
            sleep(0)  # until it waits for more
        left = queue.close(0)
        queue.batch._thread.join(PATIENCE)
        assert queue.numbers == (1, 0, 1 - left, 0, left)


def test_at_the_end_all_that_waits_is_sent(queue: Queue) -> None:
    """In batches; then the way is closed, once, and what comes is dropped."""
    queue.put(*range(3))
    assert queue.close() == 0
    assert (queue.way.batches, queue.way.closed) == ([[0, 1, 2]], 1)
    queue.put(9)
    assert queue.numbers == (4, 0, 3, 0, 1)
    assert queue.close() == 0
    assert (len(queue.way.batches), queue.way.closed) == (1, 1)


def test_the_numbers_are_right_whenever_they_are_looked_at() -> None:
    """While threads put, exports fail at random, and the end comes in the middle."""
    queue = Queue(queue=50, batch=7, delay=0.001)
    chance = random.Random(1)  # noqa: S311 - no secret
    over = threading.Event()
    wrong: list[tuple[int, ...]] = []

    def look() -> None:
        while not over.is_set():
            received, queued, *rest = queue.numbers
            if received != queued + sum(rest) or not 0 <= queued <= 57 or min(rest) < 0:
                wrong.append((received, queued, *rest))
            queue.way.fails = chance.randrange(8)

    def put(first: int) -> None:
        queue.put(*range(first, first + 3000))

    looking = threading.Thread(target=look)
    looking.start()
    putting = [threading.Thread(target=put, args=(n * 3000,)) for n in range(3)]
    for thread in putting:
        thread.start()
    putting[0].join()
    queue.close()
    for thread in putting[1:]:
        thread.join()
    over.set()
    looking.join()
    received, queued, exported, failed, dropped = queue.numbers
    assert wrong == []
    assert (received, queued) == (9000, 0)
    assert exported + failed == sum(map(len, queue.way.batches))
    assert exported + failed + dropped == 9000
    sent = [item for items in queue.way.batches for item in items]
    assert len(set(sent)) == len(sent)


def test_nothing_wakes_it_while_there_is_nothing_to_do(queue: Queue) -> None:
    """No thread turns around for an empty queue."""
    queue.put(1, 2, 3, 4)
    queue.until_sent(4)
    with queue.batch._changed:
        waiting = queue.batch._changed._waiters  # type: ignore[attr-defined]
        assert len(waiting) <= 1
    assert queue.batch._thread.is_alive()
