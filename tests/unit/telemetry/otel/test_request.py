"""One request: what is in it, and that it is never too large."""

from __future__ import annotations

import json
from typing import Final

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from otlp_data import Scope, metrics
from qmp_exporter import __version__
from qmp_exporter.telemetry.otel import encode
from qmp_exporter.telemetry.otel.ledger import Entry, Ledger
from qmp_exporter.telemetry.otel.request import MOST_BYTES, Request
from qmp_exporter.telemetry.samples import About, Distribution, Samples


RESOURCE: Final = Resource(
    attributes=[KeyValue(key="service.name", value=AnyValue(string_value="x"))]
)
COUNTER: Final = About("qemu_vm_stopped_seconds_total", "counter", "of stops")
GAUGE: Final = About("qemu_up", "gauge", "of VMs")
HISTOGRAM: Final = About("qmp_exporter_event_delay_seconds", "histogram", "of events")
GRPC_TAKES: Final = 4 << 20


def point(vm: str, number: float = 1.0) -> bytes:
    """Return a point of a VM."""
    return encode.point(encode.attributes(("vm",), (vm,)), 1, 2, number)


def test_metrics_by_name() -> None:
    """With unit, description and type; the points of all owners together; ours is the scope."""
    request = Request(RESOURCE, frozenset())
    request.add(Entry(COUNTER, [point("a", 1)], []))
    request.add(Entry(GAUGE, [point("a", 2)], []))
    request.add(Entry(COUNTER, [point("b", 3)], []))
    assert len(request) == 3
    counter, gauge = metrics(request.message())
    assert (counter.name, counter.unit, counter.description) == ("qemu.vm_stopped", "s", "of stops")
    assert (counter.kind, counter.monotonic, counter.temporality) == ("sum", True, "cumulative")
    assert {p.attributes["vm"]: p.value for p in counter.points} == {"a": 1, "b": 3}
    assert (gauge.name, gauge.unit, gauge.kind) == ("qemu.up", "", "gauge")
    assert gauge.scope == Scope("qmp_exporter", __version__)
    assert gauge.resource == {"service.name": "x"}


@pytest.mark.parametrize("kind", ["counter", "histogram"])
def test_differences_say_so(kind: str) -> None:
    """Only the kinds that are sent as such."""
    ledger = Ledger(0, "delta" if kind == "counter" else "lowmemory")
    request = Request(RESOURCE, ledger.delta)
    ledger.begin()
    for about, value in ((COUNTER, 1), (HISTOGRAM, Distribution((1.0,), (1, 0), 0.5))):
        request.add(ledger.enter(Samples(about, 1, (), [((), value)]), 2))
    found = {metric.name: metric.temporality for metric in metrics(request.message())}
    assert found == {
        "qemu.vm_stopped": "delta" if kind == "counter" else "cumulative",
        "qmp_exporter.event_delay": "delta",
    }


def test_what_is_gone_stands_for_itself() -> None:
    """The Collector's Prometheus exporter reads nothing after it in the same metric."""
    request = Request(RESOURCE, frozenset())
    attributes = [encode.attributes(("vm",), (vm,)) for vm in "ab"]
    request.add(Entry(GAUGE, [point("c")], [encode.gone(a, 2) for a in attributes]))
    request.add(Entry(GAUGE, [point("d")], []))
    assert len(request) == 4
    assert [[p.gone for p in metric.points] for metric in metrics(request.message())] == [
        [False, False],
        [True],
        [True],
    ]


def test_a_request_is_never_too_large() -> None:
    """With labels as long as can be, and with one metric that is larger than all should be."""
    labels = [f"label{n}" for n in range(12)]
    attributes = encode.attributes(labels, ["\N{SNOWMAN}" * 42] * 12)
    requests = [Request(RESOURCE, frozenset())]
    for _ in range(200):
        entry = Entry(COUNTER, [encode.point(attributes, 1, 2, 3)] * 6, [])
        if not requests[-1].takes(entry):
            requests.append(Request(RESOURCE, frozenset()))
        requests[-1].add(entry)
    assert len(requests) > 5
    assert sum(map(len, requests)) == 1200
    assert all(r.message().ByteSize() < MOST_BYTES + 1000 for r in requests)
    large = Entry(COUNTER, [encode.point(attributes, 1, 2, 3)] * 1000, [])
    assert not requests[-1].takes(large)
    assert Request(RESOURCE, frozenset()).takes(large)
    assert MOST_BYTES * 8 < GRPC_TAKES


def test_as_json_it_is_one_line() -> None:
    """For the exporter to the console, as OTLP writes JSON."""
    request = Request(RESOURCE, frozenset())
    request.add(Entry(GAUGE, [point("a")], []))
    text = request.to_json()
    assert "\n" not in text
    assert json.loads(text)["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["name"] == (
        "qemu.up"
    )
