"""Exemplars: which trace raised a counter last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.core import Exemplar as LibraryExemplar
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from builders import (
    BOOT,
    MANY,
    START,
    Series,
    Watch,
    blocks,
    connected,
    drive,
    event,
    link,
    lost,
    spice,
    status,
    trace,
    vnc,
)
from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.catalog.metrics import ALL_VM_METRICS, DECODE_ERRORS, FLEET_METRICS
from qmp_exporter.catalog.spec import Counter
from qmp_exporter.catalog.states import TargetState
from qmp_exporter.sinks import LATE, Trace
from qmp_exporter.sinks.series import Exemplar, Table
from unit.sinks.reference import crowd


if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

    from qmp_exporter.model.inputs import Input

ERRORS = "qemu_block_io_errors_total"
POWERDOWN = "qemu_vm_powerdown_requests_total"
SECONDS = "_seconds_total"

Mark: TypeAlias = tuple[str, str, float, float]
"""Trace, span, value and Unix seconds of an exemplar."""

LIFE: list[Input] = [
    status("running"),
    blocks(drive("disk0"), drive("disk1")),
    *[event(spec.name, data, 1) for spec in EVENTS for data in spec.samples],
    event("VCPU_MELTED", {}, 2),
    event("RESET", {"guest": True, "reason": "guest-reset"}, 2),
    event("RESET", {"guest": True, "reason": "guest-reset"}, 2.5),
    event("STOP", at=3),
    status("io-error", 3.5),
    event("RESUME", at=4),
    event("MIGRATION", {"status": "setup"}, 5),
    event("MIGRATION", {"status": "failed"}, 6),
    vnc("CONNECTED", "5000", 7),
    vnc("INITIALIZED", "5000", 8),
    vnc("CONNECTED", "5001", 8),
    vnc("DISCONNECTED", "5001", 9),
    spice("CONNECTED", "1", 10),
    spice("INITIALIZED", "1", 10, channel=1),
    lost(20),
    link(TargetState.GONE, 21),
    connected(22),
]
"""What may become of a VM: all events, all changes."""


def shown(watch: Watch) -> dict[Series, tuple[float, Mark | None]]:
    """Return value and exemplar of everything on the page in OpenMetrics."""
    page = watch.page(99, openmetrics=True)
    families = text_string_to_metric_families(page)  # type: ignore[no-untyped-call]
    return {
        (sample.name, tuple(sample.labels.values())): (sample.value, mark(sample.exemplar))
        for family in families
        for sample in family.samples
    }


def mark(exemplar: Any) -> Mark | None:
    """Return an exemplar as one compares it."""
    if exemplar is None:
        return None
    assert exemplar.labels.keys() == {"trace_id", "span_id"}
    ids = exemplar.labels["trace_id"], exemplar.labels["span_id"]
    return (*ids, exemplar.value, float(exemplar.timestamp))


def of(number: int, at: float, value: float = 1.0) -> Mark:
    """Return the exemplar of something that happened at second ``at``."""
    put = trace(number)
    return (put.trace_id, put.span_id, value, START + at)


def lived(watch: Watch, traces: list[int | None], begun: float = 0.0) -> dict[str, int]:
    """Let a life happen; hold what it raises, and nothing else, to have its exemplars.

    Args:
        watch: whose it is.
        traces: of each step of it, the trace.
        begun: the second at which it begins.

    Returns:
        How many exemplars each metric was given.
    """
    given: dict[str, int] = {}
    before = shown(watch)
    for told, number in zip(LIFE, traces, strict=True):
        one = replace(told, time=told.time + begun, now=told.now + begun)
        watch.feed(one, trace=None if number is None else trace(number))
        after = shown(watch)
        for series, (value, exemplar) in after.items():
            was, kept = before.get(series, (0.0, None))
            risen = value - was
            counts = series[0].endswith("_total") and not series[0].endswith(SECONDS)
            if counts and risen and number is not None:
                assert exemplar == of(number, one.time - START, risen), (series, one)
                given[series[0]] = given.get(series[0], 0) + 1
            else:
                assert exemplar == kept, (series, one)
        before = after
    return given


def test_whatever_a_step_raises_has_its_trace() -> None:
    """By an event or a change, of a VM or of all; by how much, when; gauges and seconds have none.

    All counters of the catalog are seen to, but that of lines that are no event.
    """
    watch = Watch()
    watch.feed(connected(name="web"))
    given = lived(watch, list(range(len(LIFE))))
    counters = {metric.name for metric in ALL_VM_METRICS if isinstance(metric, Counter)}
    assert given.keys() == (counters | FLEET_METRICS.keys()) - {DECODE_ERRORS.name}
    assert given["qmp_exporter_fleet_events_total"] == given["qemu_events_total"]


def test_the_last_trace_stays_until_there_is_another() -> None:
    """What is not traced raises a counter and leaves its exemplar."""
    watch = Watch()
    watch.feed(connected(name="web"))
    first = lived(watch, list(range(len(LIFE))))
    assert lived(watch, [None] * len(LIFE), 100) == {}
    again = lived(watch, [n + 1000 if n % 2 else None for n in range(len(LIFE))], 200)
    assert len(first) > len(again) > 5


def test_the_amount_is_what_was_added() -> None:
    """Of a counter that rises by more than 1; other counters of the same event rise by 1."""
    watch = Watch()
    data = {"reference": "q0", "sector-num": 0, "sectors-count": 8}
    watch.feed(event("QUORUM_FAILURE", data, 1.5), trace=trace(1))
    page = shown(watch)
    name = watch.name
    assert page["qemu_quorum_failure_sectors_total", (name, "q0")] == (8.0, of(1, 1.5, 8.0))
    assert page["qemu_quorum_failures_total", (name, "q0")] == (1.0, of(1, 1.5))


def test_the_text_format_has_none() -> None:
    """Not a byte of it depends on traces."""
    assert crowd(traced=True).page(70) == crowd().page(70)


def test_without_traces_openmetrics_has_the_lines_of_the_text_format() -> None:
    """And they are not kept twice."""
    watch = crowd()
    page, text = watch.page(70, openmetrics=True), watch.page(70)
    assert [line for line in page.splitlines() if line[0] != "#"] == [
        line for line in text.splitlines() if line[0] != "#"
    ]
    assert not any(family._marked for family in watch.sink._families)


def test_only_what_is_asked_for_is_shown() -> None:
    """With its exemplars."""
    watch = Watch()
    watch.feed(event("POWERDOWN", at=1), trace=trace(10))
    page = watch.sink.render(BOOT, openmetrics=True, names=frozenset({POWERDOWN}))
    assert page.splitlines()[2:] == [
        f'{POWERDOWN}{{vm="web"}} 1 # {{trace_id="{10:032x}",span_id="{10:016x}"}} 1 {START + 1}'
    ]


def test_rows_beyond_the_limit_share_the_last() -> None:
    """Of the row that reads `other`."""
    watch = Watch(label_sets=1)
    for number in range(3):
        data = {"device": f"disk{number}", "operation": "read", "action": "report"}
        watch.feed(event("BLOCK_IO_ERROR", data, number), trace=trace(number))
    page = shown(watch)
    assert page[ERRORS, (watch.name, "disk0", "read", "report")] == (1.0, of(0, 0))
    assert page[ERRORS, (watch.name, "other", "read", "report")] == (2.0, of(2, 2))


@pytest.mark.parametrize(
    ("times", "last"),
    [
        ([5, 6], 6),
        ([5, 5], 5),
        ([5, 4.25], 5),
        ([5, 4.25, 5.5], 5.5),
        ([50, 50 - LATE], 50),
        ([50, 49.5 - LATE], 49.5 - LATE),
    ],
)
def test_an_event_that_was_held_back_leaves_that_of_a_younger_one(
    times: list[float], last: float
) -> None:
    """QEMU keeps its stamp; a clock that is set back does not make an exemplar stay."""
    watch = Watch()
    for number, at in enumerate(times):
        watch.feed(event("POWERDOWN", at=at), trace=trace(number))
    number = len(times) - 1 - times[::-1].index(last)
    assert shown(watch)[POWERDOWN, (watch.name,)] == (float(len(times)), of(number, last))


def test_a_vm_takes_them_to_its_new_name() -> None:
    """As it does its counts; the younger of two stays."""
    watch = Watch("/run/a.sock", "/run/b.sock")
    for number, name in enumerate("ab"):
        address = f"/run/{name}.sock"
        watch.feed(connected(name=name), address)
        watch.feed(event("POWERDOWN", at=number), address, trace(number))
        watch.feed(event("WAKEUP" if number else "SUSPEND", at=number), address, trace(number))
    watch.sink.rename("a", "new")
    assert shown(watch)[POWERDOWN, ("new",)] == (1.0, of(0, 0))
    watch.sink.rename("b", "new")
    page = shown(watch)
    assert page[POWERDOWN, ("new",)] == (2.0, of(1, 1))
    assert page["qemu_vm_wakeups_total", ("new",)] == (1.0, of(1, 1))
    assert page["qemu_vm_suspends_total", ("new", "memory")] == (1.0, of(0, 0))
    assert page["qmp_exporter_connects_total", ("new",)] == (2.0, None)


def test_they_vanish_with_the_vm() -> None:
    """All but those of the sums over all VMs."""
    watch = Watch()
    watch.all(connected())
    watch.feed(event("POWERDOWN", at=1), trace=trace(1))
    assert shown(watch)[POWERDOWN, ("web",)] == (1.0, of(1, 1))
    watch.sink.forget("web")
    marked = {series for series, (_, exemplar) in shown(watch).items() if exemplar}
    assert marked == {("qmp_exporter_fleet_events_total", ("POWERDOWN",))}
    watch.sink.add("web")
    watch.feed(event("POWERDOWN", at=2))
    assert shown(watch)[POWERDOWN, ("web",)] == (1.0, None)


def test_of_a_row_only_the_last_is_kept() -> None:
    """However many there were: memory has a bound."""
    watch = Watch()
    for number in range(1000):
        watch.feed(event("POWERDOWN", at=number), trace=trace(number))
    kept = [
        len(table.exemplars)
        for series in watch.sink._series.values()
        for table in series.tables
        if table is not None and table.exemplars is not None
    ]
    assert kept == [1, 1]  # of qemu_events_total and of the powerdowns
    assert shown(watch)[POWERDOWN, ("web",)] == (1000.0, of(999, 999))


def test_their_labels_are_not_too_long() -> None:
    """OpenMetrics 1.0 allows 128 characters of names and values."""
    exemplar = Exemplar(Trace("f" * 32, "f" * 16), START)
    labels = str(exemplar).partition("{")[2].partition("}")[0]
    assert len(labels.replace('="', "").replace('"', "").replace(",", "")) == 63


IDS = st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1)


@MANY
@given(*IDS, st.integers(0, 2**53), st.floats(0, 1e11))
def test_they_are_written_as_prometheus_client_does(
    trace_id: int, span_id: int, value: int, time: float
) -> None:
    """Its parser reads the same of both, to the nanosecond."""
    put = Trace(f"{trace_id:032x}", f"{span_id:016x}")
    table = Table("m_total", ("name",))
    row = table.row(("web",))
    row.value = value
    table.mark(row, Exemplar(put, time).by(value))
    (_, ours) = table.renewed() or (b"", b"")
    family = CounterMetricFamily("m", "", labels=["name"])
    ids = {"trace_id": put.trace_id, "span_id": put.span_id}
    family.add_metric(["web"], value, exemplar=LibraryExemplar(ids, value, time))
    registry = CollectorRegistry()
    registry.register(One(family))
    theirs = generate_latest(registry).decode()  # type: ignore[no-untyped-call]
    found = [
        next(iter(text_string_to_metric_families(page))).samples  # type: ignore[no-untyped-call]
        for page in (theirs, f"# HELP m \n# TYPE m counter\n{ours.decode()}# EOF\n")
    ]
    assert found[0] == found[1]
    assert found[0][0].exemplar


class One(Collector):
    """A collector of one family."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        """Yield it."""
        yield self._family
