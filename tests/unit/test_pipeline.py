"""The way of an input: what the sinks are told of VMs that come, go and change their names."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from builders import BOOT, START, decode, line, link, samples
from qmp_exporter.catalog.states import MIGRATION_STATUSES, RUN_STATES, LostCause, TargetState
from qmp_exporter.model.inputs import Ask, Identity, Link, Reply
from qmp_exporter.model.replies import Status
from qmp_exporter.model.target import Target
from qmp_exporter.pipeline import Pipeline
from qmp_exporter.sinks import spans as module
from qmp_exporter.sinks.metrics import MetricsSink
from qmp_exporter.telemetry.self_metrics import SelfMetrics
from unit.sinks.tracing import Traced


A, B = "/run/a.sock", "/run/b.sock"


def up(pipeline: Pipeline, address: str, at: float, pid: int) -> str:
    """Let QEMU answer at a monitor; return its name."""
    identity = Identity(name="web", pid=pid)
    pipeline.feed(address, Link(TargetState.CONNECTED, START + at, BOOT + at, identity))
    return pipeline.fleet.name(address)


def test_a_target_whose_name_was_taken_is_shown_again() -> None:
    """After the grace it has another name, which every sink is told of before it is needed."""
    own, metrics = SelfMetrics(), MetricsSink()
    pipeline = Pipeline((metrics,), own, metrics.decode_error)
    pipeline.add(Target(A))
    pipeline.add(Target(B))
    assert up(pipeline, A, 0, pid=1) == "web"
    pipeline.feed(A, link(TargetState.GONE, 1))
    assert up(pipeline, B, 2, pid=2) == "web"
    assert pipeline.expire(BOOT + 3, most=9) == ()
    pipeline.feed(B, link(TargetState.GONE, 4))
    assert up(pipeline, A, 5, pid=3) == "web"
    assert not any(own.rows("qmp_exporter_sink_errors_total").values())
    page = samples(metrics.render(BOOT + 6, openmetrics=False, names=frozenset({"qemu_up"})))
    assert page["qemu_up", ("web",)] == 1


VNC = ("VNC_CONNECTED", "VNC_INITIALIZED", "VNC_DISCONNECTED")
NAMES = ("web", "db", "")
EVENTS = (
    ("STOP", None),
    ("RESUME", None),
    ("POWERDOWN", None),
    ("SHUTDOWN", {"guest": True, "reason": "guest-shutdown"}),
    ("BLOCK_IO_ERROR", {"device": "d", "operation": "read", "action": "stop"}),
    ("DUMP_COMPLETED", {"result": {"status": "completed", "completed": 1, "total": 1}}),
    *(("MIGRATION", {"status": status}) for status in MIGRATION_STATUSES),
    *((name, {"server": {"auth": "vnc"}, "client": {"host": "", "service": ""}}) for name in VNC),
)


class Hosts:
    """A fleet that lives as chance has it, behind all sinks that keep anything of a VM."""

    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - to be repeated
        self.traced, self.metrics, self.own = Traced(), MetricsSink(), SelfMetrics()
        sinks = (self.traced.sink, self.metrics, self.traced.logs)
        self.pipeline = Pipeline(sinks, self.own, self.metrics.decode_error)
        self.wall, self.now, self.pid, self.events = START, BOOT, 1, 0
        self.watched: set[str] = set()
        monkeypatch.setattr(module, "time", lambda: self.wall)

    def step(self) -> None:
        """Let time pass, and one thing happen at one monitor."""
        chance, pipeline = self.chance, self.pipeline
        passed = chance.choice((0.0, 0.001, 0.1, 5.0, 40.0, 700.0))
        self.now += passed
        self.wall += passed + chance.choice((0.0,) * 9 + (-5.0, 5.0, -4000.0))
        address = chance.choice((A, B, "/run/c.sock"))
        if address not in self.watched:
            pipeline.add(Target(address, named=chance.random() < 0.5))
            self.watched.add(address)
        match chance.randrange(20):
            case 0:
                self.watched -= set(pipeline.expire(self.now - 300, most=9))
            case 1:
                pipeline.drop(address)
                self.watched.discard(address)
            case 2:
                self.traced.sink.tick(self.now)
            case _ if not pipeline.fleet.vm(address).watched:
                self.pid += chance.random() < 0.5
                who = Identity(chance.choice(NAMES), chance.choice(("1" * 36, "")), pid=self.pid)
                state = chance.choice((TargetState.CONNECTED,) * 3 + (TargetState.GONE,))
                known = who if state is TargetState.CONNECTED else None
                pipeline.feed(address, Link(state, self.wall, self.now, known))
            case 3:
                state = chance.choice((TargetState.GONE, TargetState.CONNECTING))
                pipeline.feed(address, Link(state, self.wall, self.now, lost=LostCause.EOF))
            case 4 | 5:
                read = Link(TargetState.CONNECTED, self.wall, self.now, read=True)
                pipeline.feed(address, read)
            case 6 | 7 | 8:
                told = Status(chance.choice(RUN_STATES))
                pipeline.feed(address, Reply(Ask.STATUS, told, self.wall, self.now))
            case _:
                at = self.wall - START - chance.choice((0.0, 0.0, 0.0, 0.5, -1.0, 7200.0))
                found = decode(line(*chance.choice(EVENTS), at), self.wall, self.now)
                pipeline.feed(address, found)
                self.events += 1


@pytest.mark.parametrize("seed", range(12))
def test_whatever_becomes_of_vms_no_event_is_lost(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renamed, dropped, forgotten, two of a name: each is on one span, and each span comes out."""
    hosts = Hosts(seed, monkeypatch)
    for _ in range(600):
        hosts.step()
    hosts.traced.sink.close()
    assert not any(hosts.own.rows("qmp_exporter_sink_errors_total").values())
    spans = {span.context.span_id: span for span in hosts.traced.spans if span.context}
    noted = [(span_id, e.name, e.timestamp) for span_id, s in spans.items() for e in s.events]
    records = [record.log_record for record in hosts.traced.records]
    told = [(record.span_id, record.event_name, record.timestamp) for record in records]
    assert Counter(noted) == Counter(told)
    assert len(told) == hosts.events
    for span in spans.values():
        others = [other.context for other in span.links] + ([span.parent] if span.parent else [])
        assert all(other.span_id in spans for other in others)
        assert (span.end_time or 0) >= (span.start_time or 0)
