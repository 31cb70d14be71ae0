"""The way of an input: what the sinks are told of VMs that come, go and change their names."""

from __future__ import annotations

from builders import BOOT, START, link, samples
from qmp_exporter.catalog.states import TargetState
from qmp_exporter.model.inputs import Identity, Link
from qmp_exporter.model.target import Target
from qmp_exporter.pipeline import Pipeline
from qmp_exporter.sinks.metrics import MetricsSink
from qmp_exporter.telemetry.self_metrics import SelfMetrics


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
