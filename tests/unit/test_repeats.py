"""Events that come again: they are counted as those that are decoded, or not taken at all."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from builders import BOOT, EVERYTHING, START, connected, decode, line, reply, status
from qmp_exporter import pipeline as pipeline_module
from qmp_exporter import repeats as module
from qmp_exporter.catalog.decoder import MAX_SKEW
from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.model.disks import ASK_EVERY
from qmp_exporter.model.inputs import Ask
from qmp_exporter.model.replies import BlockStats
from qmp_exporter.model.target import Target
from qmp_exporter.pipeline import Pipeline
from qmp_exporter.repeats import LONGEST, MOST, Repeats
from qmp_exporter.sinks import Recount
from qmp_exporter.sinks.log import LogSink
from qmp_exporter.sinks.metrics import MetricsSink
from qmp_exporter.sinks.page import WINDOW, PageSink
from qmp_exporter.sinks.records import RecordsSink
from qmp_exporter.sinks.spans import SpansSink
from qmp_exporter.telemetry.self_metrics import Histogram, SelfMetrics


if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmp_exporter.sinks import Sink


A, B = "/run/a.sock", "/run/b.sock"
ERROR = {"device": "", "qom-path": "/machine/peripheral/disk0", "operation": "read"}
NAMELESS = {"device": "", "node-name": "#block1", "operation": "read", "action": "report"}
REPORTED = ("BLOCK_IO_ERROR", ERROR | {"nospace": False, "action": "report"})


class Clock:
    """The two clocks of the exporter; they stand still unless they are moved."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.at = 0.0
        patch.setattr(module, "time", lambda: START + self.at)
        patch.setattr(module, "monotonic", lambda: BOOT + self.at)
        patch.setattr(pipeline_module, "time", lambda: START + self.at)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let time stand still at second 0."""
    return Clock(monkeypatch)


class Taking:
    """What knows one event, and what it counted of it."""

    def __init__(self, known: bytes, until: float = float("inf")) -> None:
        self.times: list[float] = []
        self.delays = Histogram((0.001, 0.1))
        self.repeats = Repeats(self.delays)
        self.repeats.learn(known, (Recount(self.times.extend, until),))

    def take(self, *lines: bytes) -> int:
        """Return how many of these were taken."""
        return self.repeats.take(lines, 0, len(lines))


# ---- which lines are taken


@pytest.mark.usefixtures("clock")
def test_what_came_before_is_counted_with_its_own_stamp() -> None:
    """Each has the time, and the delay, that the decoder would give it."""
    taking = Taking(line(*REPORTED))
    again = [line(*REPORTED, at=at) for at in (-0.25, -0.000001, 0.0, -7.5)]
    assert taking.take(*again) == 4
    assert taking.times == [decode(one, START, BOOT).time for one in again]
    assert taking.delays.counts == [2, 0, 2]
    assert taking.delays.total == pytest.approx(7.750001, abs=1e-6)


@pytest.mark.usefixtures("clock")
def test_a_stamp_ahead_of_our_clock_is_no_delay() -> None:
    """As with those that are decoded, none is below 0."""
    taking = Taking(line(*REPORTED))
    assert taking.take(line(*REPORTED, at=0.5), line(*REPORTED, at=-0.05)) == 2
    assert taking.delays.counts == [1, 1, 0]
    assert taking.delays.total == pytest.approx(0.05, abs=1e-6)


@pytest.mark.usefixtures("clock")
def test_it_stops_at_another_event() -> None:
    """Whatever is not the same but for its stamp is left, and all that comes after it."""
    taking = Taking(line(*REPORTED))
    same, other = line(*REPORTED), line("BLOCK_IO_ERROR", ERROR | {"action": "stop"})
    lines = [same, same, other, same]
    assert taking.repeats.take(lines, 0, 4) == 2
    assert taking.repeats.take(lines, 2, 4) == 2
    assert taking.repeats.take(lines, 3, 4) == 4
    assert taking.repeats.take(lines, 0, 1) == 1
    assert len(taking.times) == 4


NOW = b'{"timestamp": {"seconds": 1700000000, "microseconds": 0}, "event": "RESUME"}'


@pytest.mark.parametrize(
    "stamp",
    [
        b"1700000000, 'microseconds': 0",
        b'1700000000, "microseconds": 00',
        b'1700000000, "microseconds": 01',
        b'1700000000, "microseconds": +1',
        b'1700000000, "microseconds": -1',
        b'1700000000, "microseconds": 1_0',
        b'1700000000, "microseconds":  1',
        b'1700000000, "microseconds": 1.5',
        b'1700000000, "microseconds": 1e1',
        b'1700000000, "microseconds": ',
        b'1700000000, "microseconds": 1000000',
        b'1700000000, "microseconds": \xb2',
        b'1700000000,"microseconds": 0',
        b'17000000000, "microseconds": 0',
        b'170000000, "microseconds": 0',
        b'0700000000, "microseconds": 0',
        b'-1, "microseconds": -1',
        b'%d, "microseconds": 0' % (START + MAX_SKEW),
        b'%d, "microseconds": 0' % (START - MAX_SKEW),
    ],
)
@pytest.mark.usefixtures("clock")
def test_a_stamp_that_qemu_does_not_write_is_left_to_the_decoder(stamp: bytes) -> None:
    """It is not ours to say what such a line means, or whether its time is to be believed."""
    taking = Taking(NOW)
    assert taking.take(NOW) == 1
    changed = NOW.replace(b'1700000000, "microseconds": 0', stamp)
    assert changed != NOW
    assert taking.take(changed) == 0
    assert taking.take(NOW, changed, NOW) == 1
    assert len(taking.times) == 2


@pytest.mark.parametrize("text", [b"", b"\r", b"}", b"{", b'{"return": {}}', NOW[:54], NOW[:55]])
@pytest.mark.usefixtures("clock")
def test_what_is_no_event_is_left(text: bytes) -> None:
    """Replies, rests of lines, nothing at all."""
    assert Taking(NOW).take(text) == 0


def test_a_sink_sees_one_again_when_it_wants_to(clock: Clock) -> None:
    """From that moment on nothing is known."""
    taking = Taking(NOW, until=BOOT + 1)
    clock.at = 0.99
    assert taking.take(NOW) == 1
    clock.at = 1.0
    assert taking.take(NOW) == 0
    clock.at = 0.0
    assert taking.take(NOW) == 0


# ---- what is known


def test_only_what_comes_a_second_time_is_worth_knowing() -> None:
    """Its stamp is not looked at, and what is too long never is."""
    repeats = Repeats(Histogram((1.0,)))
    long = line("RESUME", {"text": "x" * LONGEST})
    assert [repeats.came(one) for one in (line("STOP"), line("RESUME"), long)] == [False] * 3
    assert repeats.came(line("STOP", at=5))
    assert not repeats.came(long)


@pytest.mark.usefixtures("clock")
def test_what_has_no_stamp_of_qemu_is_not_known() -> None:
    """Else the half of a line might be taken for it."""
    side = Side(page=False)
    side.as_the_client_does([b'{"event": "NEW"}'] * 5, 0)
    half = NOW[: NOW.index(b"}") + 1]
    assert side.pipeline.again(A, [half, half], 0, 2) == 0
    assert side.metrics.value("web", "qemu_events_total") == 5


@pytest.mark.usefixtures("clock")
def test_no_more_is_known_than_there_is_room_for() -> None:
    """Who sends other events all the time costs no more than one who does not."""
    repeats = Repeats(Histogram((1.0,)))
    for number in range(10 * MOST):
        one = line("RESUME", {"number": number})
        repeats.came(one)
        repeats.learn(one, ())
        assert repeats.take([one], 0, 1) == 1
        assert len(repeats._known) <= MOST
        assert len(repeats._came) <= MOST


# ---- in the pipeline


class Side:
    """A pipeline with one VM, and all that it shows."""

    def __init__(self, *more: Sink, page: bool = True) -> None:
        self.own, self.metrics, self.page = SelfMetrics(), MetricsSink(), PageSink()
        sinks = (*more, self.metrics, *((self.page,) if page else ()))
        self.pipeline = Pipeline(sinks, self.own, self.metrics.decode_error)
        self.pipeline.add(Target(A))
        self.pipeline.feed(A, connected(monitor=A))
        self.pipeline.feed(A, status("running"))
        self.taken = 0

    def one_by_one(self, lines: Sequence[bytes], at: float) -> None:
        """Decode each."""
        for one in lines:
            self.pipeline.feed(A, decode(one, START + at, BOOT + at))

    def as_the_client_does(self, lines: Sequence[bytes], at: float) -> None:
        """Decode what is not taken."""
        place = 0
        while place < len(lines):
            begun = place
            place = self.pipeline.again(A, lines, place, len(lines))
            self.taken += place - begun
            if place == begun:
                self.one_by_one(lines[place : place + 1], at)
                place += 1

    def shown(self) -> object:
        """Return all that people and Prometheus see."""
        glance = self.page.glance("web")
        delays = self.own.histogram("qmp_exporter_event_delay_seconds")
        timeline = [(e.event, e.time, e.details, e.count) for e in glance.timeline]
        return (
            self.metrics.render(BOOT, openmetrics=True, names=EVERYTHING).splitlines(),
            (glance.events, glance.last_event, glance.last_time, timeline),
            (delays.counts, pytest.approx(delays.total)),
        )


SAMPLES = [(spec.name, data) for spec in EVENTS for data in spec.samples]


@pytest.mark.parametrize("page", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_what_is_shown_is_the_same(seed: int, clock: Clock, *, page: bool) -> None:
    """Whichever events come, in whichever order: of one kind, of many, of any, of none known."""
    chance = random.Random(seed)  # noqa: S311 - to be repeated
    slow, fast = Side(page=page), Side(page=page)
    sent = 0
    for _ in range(60):
        clock.at += chance.choice((0.001, 0.01, 0.3, WINDOW, 20.0))
        kinds = chance.sample(SAMPLES, chance.choice((1, 1, 2, 5)))
        if chance.random() < 0.5:
            kinds.append(REPORTED)
        lines = []
        for _ in range(chance.choice((1, 30, 100))):
            sent += 1
            at = clock.at - chance.choice((0.0, 0.0, 0.002, 3.0)) - 0.0004 + sent % 400 * 1e-6
            lines.append(line(*chance.choice(kinds), at))
        slow.one_by_one(lines, clock.at)
        fast.as_the_client_does(lines, clock.at)
        answer = chance.choice((status("running", clock.at), reply(Ask.BLOCKSTATS, BlockStats())))
        for side in (slow, fast):
            side.pipeline.feed(A, answer)
        assert fast.shown() == slow.shown()
        assert fast.pipeline.fleet.vm(A) == slow.pipeline.fleet.vm(A)
    assert slow.taken == 0
    assert fast.taken > sent / 10


def storm(side: Side, at: float = 0.0) -> int:
    """Let a thousand errors be reported; return how many of them were not decoded."""
    before = side.taken
    side.as_the_client_does([line(*REPORTED, at=at)] * 1000, at)
    return side.taken - before


@pytest.mark.usefixtures("clock")
def test_a_storm_is_mostly_not_decoded() -> None:
    """All but those of which the page has entries, and the first two."""
    side = Side()
    assert storm(side) > 980
    assert side.metrics.value("web", "qemu_block_io_errors_total") == 1000


def test_a_disk_that_is_not_known_is_asked_for_while_its_errors_storm(clock: Clock) -> None:
    """Every ten seconds; between two questions they are as those of other disks."""
    side = Side(page=False)  # which wants to see some each second
    for at in (0.0, 5.0, ASK_EVERY, ASK_EVERY + 5):
        clock.at = at
        lines = [line("BLOCK_IO_ERROR", NAMELESS, at)] * 1000
        before = side.taken
        side.as_the_client_does(lines, at)
        assert side.taken - before > 980
        assert side.pipeline.fleet.vm(A).disks.asked == BOOT + at // ASK_EVERY * ASK_EVERY


@pytest.mark.usefixtures("clock")
def test_what_changes_the_vm_is_seen_each_time() -> None:
    """STOP after STOP, each of which may have another cause."""
    side = Side()
    side.as_the_client_does([line("STOP"), line("RESUME")] * 100, 0)
    assert side.taken == 0


@pytest.mark.usefixtures("clock")
def test_a_vm_that_changed_is_looked_at_anew() -> None:
    """What its events meant before says nothing of what they mean now."""
    side = Side()
    assert storm(side) > 980
    side.pipeline.feed(A, status("io-error"))
    lines = [line(*REPORTED)] * 2
    assert side.pipeline.again(A, lines, 0, 2) == 0


@pytest.mark.usefixtures("clock")
def test_counts_go_where_the_name_is() -> None:
    """Another VM takes the name: what comes from the first one counts under its new name."""
    side = Side(page=False)
    assert storm(side) > 980
    side.pipeline.feed(A, connected(1, monitor=A, name="db"))
    before = side.metrics.value("web", "qemu_events_total")
    side.pipeline.add(Target(B))
    side.pipeline.feed(B, connected(2, monitor=B, pid=4712, uuid="2" * 36))
    name = side.pipeline.fleet.name(A)
    storm(side)
    storm(side)
    found = [m.name for m in side.pipeline.fleet]
    total = sum(side.metrics.value(vm, "qemu_events_total") for vm in found)
    assert total == before + 2000
    assert side.metrics.value(name, "qemu_events_total") >= 2000


class Strict(PageSink):
    """A sink that wants the next event, too, or that cannot say whether it does."""

    def __init__(self, *, fails: bool) -> None:
        super().__init__()
        self.fails = fails

    def again(self, vm: str, event: object) -> None:  # noqa: ARG002 - a sink
        """Say so."""
        if self.fails:
            raise ZeroDivisionError


@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.usefixtures("clock")
def test_one_sink_that_wants_each_event_gets_it(*, fails: bool) -> None:
    """A fault loses nothing either."""
    strict = Strict(fails=fails)
    side = Side(strict)
    assert storm(side) == 0
    assert strict.glance("web").total == 1000
    errors = side.own.rows("qmp_exporter_sink_errors_total")[("page",)]
    assert (errors > 0) is fails


@pytest.mark.parametrize("kind", [LogSink, RecordsSink, SpansSink])
def test_a_sink_of_single_events_gets_each(kind: type[Sink]) -> None:
    """Lines, log records and span events have the time of every one."""
    assert not hasattr(kind, "again")


@pytest.mark.usefixtures("clock")
def test_beside_a_sink_of_single_events_nothing_is_known() -> None:
    """It costs nothing to find out what nobody can make use of."""
    lines: list[str] = []
    side = Side(LogSink(lambda line: not lines.append(line), lambda: True, lambda _: None))
    assert storm(side) == 0
    assert len(lines) == 1000
    assert not side.pipeline._repeats
