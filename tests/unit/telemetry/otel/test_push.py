"""The thread that pushes: when, what it does where it cannot, and how it ends."""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import pytest

from builders import event, link
from otlp_fleet import Fleet, Recorder, pushing
from otlp_names import read, translate
from qmp_exporter.catalog.states import TargetState
from qmp_exporter.telemetry.otel import push as module
from qmp_exporter.telemetry.otel import request


if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmp_exporter.telemetry.otel.ledger import Preference
    from qmp_exporter.telemetry.otel.push import Push
    from qmp_exporter.telemetry.otel.request import Request
    from qmp_exporter.telemetry.samples import Samples


PATIENCE: Final = 30.0
WEB: Final = "/run/web.sock"


class Gate(Recorder):
    """A way out that holds each request until it is let through, or closed.

    Attributes:
        arrived: counts requests.
        closed: whether it was.
    """

    def __init__(self) -> None:
        super().__init__()
        self.arrived = threading.Semaphore(0)
        self.closed = threading.Event()
        self._let = threading.Semaphore(0)

    def send(self, request: Request) -> tuple[int, str]:
        """Take a request when it may."""
        self.arrived.release()
        self._let.acquire()
        if self.closed.is_set():
            return len(request), "closed"
        return super().send(request)

    def let(self, number: int = 1) -> None:
        """Let requests through."""
        self._let.release(number)

    def close(self) -> None:
        """Break off."""
        self.closed.set()
        self.let(1000)


@pytest.fixture
def fleet() -> Fleet:
    """Machines to which everything has happened."""
    return Fleet()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests be small."""
    monkeypatch.setattr(request, "MOST_BYTES", 4096)


@pytest.fixture
def started() -> Iterator[list[Push]]:
    """Collect what has a thread; it has none in the end."""
    found: list[Push] = []
    yield found
    for push in found:
        push.close(monotonic() + PATIENCE)
        push._thread.join(PATIENCE)
        assert not push._thread.is_alive()


def vms(families: dict[str, Any]) -> dict[Any, float]:
    """Return the samples that have a `vm`, without the labels of the pushing exporter."""
    return {
        (name, frozenset(pair for pair in labels if pair[0] not in {"job", "instance"})): number
        for family in families.values()
        for (name, labels), number in family.samples.items()
        if "vm" in dict(labels)
    }


@pytest.mark.parametrize("temporality", ["cumulative", "delta", "lowmemory"])
@pytest.mark.usefixtures("small")
def test_what_is_pushed_is_what_is_scraped(fleet: Fleet, temporality: Preference) -> None:
    """Whatever happens, and whatever is lost on the way; in several requests."""
    way = Recorder()
    push = pushing(fleet, way, temporality)
    for at in range(3):
        push.push()
        assert vms(translate(way.metrics)) == pytest.approx(vms(read(fleet.page())), rel=1e-12)
        fleet.watch.feed(event("POWERDOWN", at=70 + at), WEB)
        way.failure = "as the test says"
        push.push()
        way.failure = ""
        fleet.watch.feed(event("POWERDOWN", at=70 + at), WEB)
    fleet.watch.feed(link(TargetState.GONE, 80), WEB)
    fleet.watch.expire(9999)
    push.push()
    assert vms(translate(way.metrics)) == vms(read(fleet.page()))
    assert len(way.messages) > 4


def test_everything_of_the_exporter_is_pushed(fleet: Fleet) -> None:
    """The very page: each metric, its type, HELP, labels and numbers."""
    way = Recorder()
    pushing(fleet, way).push()
    found = translate(way.metrics)
    del found["target_info"]
    ours = read(fleet.page())
    assert found.keys() == ours.keys()
    for name, family in ours.items():
        assert found[name][:2] == family[:2]
        assert len(found[name].samples) == len(family.samples)


@pytest.mark.usefixtures("small")
def test_points_are_counted(fleet: Fleet) -> None:
    """As exported, or as failed; with one push without requests that are queued."""
    way = Recorder()
    push = pushing(fleet, way)
    push.push()
    tally = push._counts.tally
    points = sum(len(metric.points) for metric in way.metrics)
    assert (tally.exported, tally.failed, tally.dropped, tally.queued) == (points, 0, 0, 0)
    way.failure = "as the test says"
    push.push()
    assert push._counts.tally.failed == points


def test_what_is_rejected_is_not_sent_again(fleet: Fleet) -> None:
    """A collector that takes a part says that the rest is wrong: its differences are lost."""

    class Strict(Recorder):
        def send(self, request: Request) -> tuple[int, str]:
            super().send(request)
            return 7, "7 rejected"

    way = Strict()
    push = pushing(fleet, way, "delta")
    push.push()
    way.metrics.clear()
    push.push()
    events = next(metric for metric in way.metrics if metric.name == "qemu.events")
    assert {point.value for point in events.points} == {0}
    tally = push._counts.tally
    assert tally.failed == 14
    assert tally.exported + 14 == tally.received


@pytest.mark.usefixtures("small")
def test_a_push_gives_up(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What failures cost has a limit, then the rest is dropped; what gets through costs nothing."""
    clock = 0.0

    class Slow(Recorder):
        def send(self, request: Request) -> tuple[int, str]:
            nonlocal clock
            clock += 12.0
            return super().send(request)

    way = Slow()
    push = pushing(fleet, way)
    monkeypatch.setattr(module, "monotonic", lambda: clock)
    push.push()
    all_of_it = push._counts.tally
    assert (all_of_it.failed, all_of_it.dropped) == (0, 0)
    assert clock > 60.0
    way.failure = "as the test says"
    clock = 0.0
    push.push()
    assert clock == 36.0
    tally = push._counts.tally
    assert tally.failed + tally.dropped == all_of_it.exported
    assert tally.dropped > tally.failed > 0
    assert [r.getMessage() for r in caplog.records] == [
        "metrics are not exported to a recorder: as the test says"
    ]
    way.failure = ""
    push.push()
    assert push._counts.tally.exported == 2 * all_of_it.exported


@pytest.mark.usefixtures("small")
def test_while_it_gives_up_it_keeps_nothing_of_who_goes(fleet: Fleet) -> None:
    """A collector may be dead for long, and VMs come and go."""
    way = Recorder()
    push = pushing(fleet, way)
    push.push()
    way.failure = "as the test says"
    push._settings = push._settings.__class__(("otlp",), timeout=0.0)
    for number in range(20):
        fleet.watch.sink.add(f"vm{number}")
        push.push()
        fleet.watch.sink.forget(f"vm{number}")
    push.push()
    assert len(push._ledger._accounts) == 4
    assert len(fleet.watch.sink._queue) <= 4


def test_a_fault_is_told_and_does_not_end_it(
    fleet: Fleet, started: list[Push], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """The next push is made."""
    way = Gate()
    way.let(100)
    push = pushing(fleet, way)
    started.append(push)
    push._settings = push._settings.__class__(("otlp",), interval=0.001)
    samples, calls = fleet.samples, threading.Semaphore(0)

    def failing() -> Iterator[list[Samples]]:
        calls.release()
        monkeypatch.setattr(fleet, "samples", samples)
        raise RuntimeError("as the test says")

    monkeypatch.setattr(fleet, "samples", failing)
    push.start()
    assert way.arrived.acquire(timeout=PATIENCE)
    assert "a fault of the exporter" in caplog.text


def test_the_first_push_comes_soon_and_the_last_at_the_end(
    fleet: Fleet, started: list[Push], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the interval is long; and what happened meanwhile is in the last."""
    monkeypatch.setattr(module, "FIRST", 0.01)
    way = Gate()
    push = pushing(fleet, way)
    started.append(push)
    push.start()
    assert way.arrived.acquire(timeout=PATIENCE)
    way.let()
    fleet.watch.feed(event("POWERDOWN", at=70), WEB)
    way.let()
    assert push.close(monotonic() + PATIENCE) == 0
    assert len(way.messages) == 2
    assert vms(translate(way.metrics)) == vms(read(fleet.page()))
    assert way.closed.is_set()


def test_it_ends_in_time_whatever_the_collector_does(fleet: Fleet, started: list[Push]) -> None:
    """Points of a request that hangs are told, and all there were are counted as dropped."""
    way = Gate()
    push = pushing(fleet, way)
    push._settings = push._settings.__class__(("otlp",), interval=0.001)
    started.append(push)
    push.start()
    assert way.arrived.acquire(timeout=PATIENCE)
    left = push.close(monotonic() + 0.01)
    push._thread.join(PATIENCE)
    tally = push._counts.tally
    assert 0 < left <= tally.dropped
    assert (tally.exported, tally.failed, tally.queued) == (0, 0, 0)


@pytest.mark.usefixtures("small")
def test_the_end_does_not_wait_for_a_push_under_way(fleet: Fleet, started: list[Push]) -> None:
    """That one is left, as the last one has all of it."""
    way = Gate()
    push = pushing(fleet, way)
    push._settings = push._settings.__class__(("otlp",), interval=0.001)
    started.append(push)
    push.start()
    assert way.arrived.acquire(timeout=PATIENCE)
    push.end()
    way.let(1000)
    assert push.close(monotonic() + PATIENCE) == 0
    last = [metric for metric in way.metrics if metric.name == "qmp_exporter.fleet_exits"]
    assert len(last) == 1
    assert vms(translate(way.metrics)) == vms(read(fleet.page()))
