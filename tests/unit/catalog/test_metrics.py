"""The list of all metrics: names, labels, presets, and how many series they are."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections import Counter as Tally
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from builders import (
    Watch,
    blocks,
    connected,
    drive,
    event,
    failures,
    samples,
    spice_channels,
    status,
    vnc_clients,
)
from qmp_exporter.catalog.metrics import (
    ALL_VM_METRICS,
    DECODE_ERRORS,
    EVENTS_TOTAL,
    FLEET_METRICS,
    LAST_EVENT,
    VmMetric,
)
from qmp_exporter.catalog.own_metrics import OWN_METRICS
from qmp_exporter.catalog.spec import NONE, Counter, Label, LastValue, Sampled
from qmp_exporter.catalog.states import OTHER


SNAPSHOT = Path(__file__).with_name("metrics.snapshot")
UPDATE = os.environ.get("SNAPSHOT_UPDATE") == "1"
ADVICE = f"""
The metrics are not those of {SNAPSHOT.name}. If that is meant:
  - a metric or label that is new: SNAPSHOT_UPDATE=1 scripts/test {Path(__file__).name}
  - one that is renamed or goes: people have dashboards and alerts on it. Keep both names for one
    minor release, say so in CHANGELOG.md, and let the old one go in the release after that.
"""

MOST_SERIES = 160
"""For a VM with one disk, no display and no migration."""

BASE_UNITS = ("seconds", "bytes", "ratio", "info")
OTHER_UNITS = re.compile(
    r"_(ms|milliseconds|us|microseconds|ns|nanoseconds|minutes|hours|days|kib|mib|gib|kb|mb|gb|"
    r"kilobytes|megabytes|bits|percent|percentage|second|byte|timestamp)(_total)?$"
)
LABEL_VALUES = [label for metric in ALL_VM_METRICS for label in metric.labels if label.values]


def kind(metric: VmMetric) -> str:
    """Return the type of a VM's metric."""
    return "counter" if metric.name.endswith("_total") else "gauge"


def shown(label: Label) -> str:
    """Return a label's name, with a star where the set of its values is open."""
    return f"{label.name}*" if label.free else label.name


def table() -> list[str]:
    """Return a line for each metric: name, type, labels, those with an open set of values marked.

    What a guest can choose is no label: who adds a marked one thinks about that.
    """
    vm = [(m.name, kind(m), ("vm*", *map(shown, m.labels))) for m in ALL_VM_METRICS]
    fleet = [
        (name, "counter", tuple(label.name for label in metric.labels))
        for name, metric in FLEET_METRICS.items()
    ]
    own = [(m.name, m.kind, m.labels) for m in OWN_METRICS]
    return [f"{n} {k} {','.join(labels)}".rstrip() for n, k, labels in sorted((*vm, *fleet, *own))]


def test_names_types_and_labels_are_frozen() -> None:
    """They are public interface: a change needs a look at who reads them."""
    lines = table()
    if UPDATE:
        SNAPSHOT.write_text("\n".join(lines) + "\n")
    frozen = SNAPSHOT.read_text().splitlines() if SNAPSHOT.exists() else []
    difference = list(difflib.unified_diff(frozen, lines, "frozen", "now", lineterm="", n=0))
    if difference:
        pytest.fail("\n".join([*difference, ADVICE]), pytrace=False)


NAMES = [line.split()[0] for line in table()]
TYPES = {line.split()[0]: line.split()[1] for line in table()}


def test_no_two_metrics_have_one_name() -> None:
    """Of all metrics, also those of the exporter and of all VMs."""
    assert [name for name, times in Tally(NAMES).items() if times > 1] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_name_follows_the_rules(name: str) -> None:
    """Prefix, `_total` on counters and on nothing else, base units at the end."""
    assert re.fullmatch(r"(qemu|qmp_exporter)_[a-z][a-z0-9]*(_[a-z0-9]+)*", name)
    assert name.endswith("_total") == (TYPES[name] == "counter")
    assert not name.endswith(("_count", "_sum", "_bucket", "_created"))
    assert not OTHER_UNITS.search(name)
    unit = next((unit for unit in BASE_UNITS if f"_{unit}_" in f"{name}_"), None)
    assert unit is None or name.removesuffix("_total").endswith(unit)


def test_in_openmetrics_no_two_families_have_one_name() -> None:
    """A counter's family is its name without `_total`; no gauge may be called that."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    theirs = [family.name for family in registry.collect()]
    families = Tally([name.removesuffix("_total") for name in NAMES] + theirs)
    assert [name for name, times in families.items() if times > 1] == []
    taken = {f"{name}_{end}" for name in families for end in ("total", "created", "info", "bucket")}
    assert not taken & families.keys()


def test_labels_have_good_names() -> None:
    """None that Prometheus keeps for itself, none twice in a metric, `vm` only once."""
    for metric in ALL_VM_METRICS:
        labels = [label.name for label in metric.labels]
        assert len(set(labels)) == len(labels)
        for label in labels:
            assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", label)
            assert label not in {"vm", "le", "quantile", "job", "instance"}


@pytest.mark.parametrize("label", LABEL_VALUES, ids=lambda label: label.name)
def test_the_values_of_a_label_are_a_set(label: Label) -> None:
    """No value twice, none empty."""
    assert len(set(label.values)) == len(label.values)
    assert all(label.values)


def test_help_is_a_sentence() -> None:
    """It needs no escaping, and ends with a full stop."""
    helps = {m.name: m.help for m in (*ALL_VM_METRICS, *OWN_METRICS)}
    for name, text in helps.items():
        assert re.fullmatch(r"[A-Z][^\"\\\n]+\.", text), name
        assert "  " not in text, name


def test_help_says_where_it_comes_from() -> None:
    """What is told of a VM names the QMP event or command, but for what no QMP tells."""
    silent = {
        metric.name
        for metric in ALL_VM_METRICS
        if metric.name.startswith("qemu_") and "QMP" not in metric.help
    }
    assert silent == {
        "qemu_up",
        "qemu_process_start_time_seconds",
        "qemu_vm_exits_total",
        LAST_EVENT.name,
    }


def test_buckets_are_in_order() -> None:
    """Upper bounds of a histogram ascend; nothing else has any."""
    for metric in OWN_METRICS:
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert bool(metric.buckets) == (metric.kind == "histogram")


def vm(disks: int = 0, displays: int = 0) -> Watch:
    """Return an idle VM that runs, with so many disks and displays."""
    watch = Watch()
    names = [f"disk{n}" for n in range(disks)]
    watch.all(connected(), status("running"), blocks(*map(drive, names)), failures(*names))
    for reply in (vnc_clients(), spice_channels())[:displays]:
        watch.feed(reply)
    return watch


WHEN_KNOWN = {
    "qemu_migration_status",
    "qemu_migration_last_duration_seconds",
    "qemu_migration_last_downtime_seconds",
    "qemu_migration_last_transferred_bytes",
    "qemu_jobs",
    "qemu_block_job_last_duration_seconds",
}
"""Read from the state of a VM, and not there before its first migration or job."""


def formula(metric: VmMetric, disks: int, displays: int) -> int:
    """Return how many series of a metric an idle VM has."""
    known = {"disks": disks, "displays": displays, "quorums": 0}
    if isinstance(metric, LastValue) or metric.name in WHEN_KNOWN:
        return 0
    if isinstance(metric, Counter) and metric.preset is not None:
        return len(metric.preset)
    if metric.name == "qemu_vm_info":
        return 1
    if metric.name in {"qemu_block_io_status", "qemu_block_failed_operations_total"}:
        return disks * len(metric.labels[1].values)
    free = [known[label.known] if label.known else len(label.values) for label in metric.labels]
    if metric.name == "qemu_vm_status":  # `other` only while it is that
        free[0] -= 1
    return math.prod(free)


@pytest.mark.parametrize("displays", [0, 1, 2])
@pytest.mark.parametrize("disks", [0, 1, 2, 7])
def test_the_series_of_an_idle_vm_are_those_of_the_catalog(disks: int, displays: int) -> None:
    """Each metric has as many as its entry says, no more and no less."""
    shown = Tally(
        name for name, values in samples(vm(disks, displays).page()) if values[0] == "web"
    )
    expected = {metric.name: formula(metric, disks, displays) for metric in ALL_VM_METRICS}
    assert shown == {name: count for name, count in expected.items() if count}


def test_an_idle_vm_with_one_disk_is_small() -> None:
    """No more than 160 series, the first event included."""
    watch = vm(disks=1)
    watch.feed(event("POWERDOWN", at=1))
    shown = [series for series in samples(watch.page()) if series[1][0] == "web"]
    expected = 1 + sum(formula(metric, 1, 0) for metric in ALL_VM_METRICS)
    assert len(shown) == expected <= MOST_SERIES


def test_counters_are_there_at_zero_from_the_start() -> None:
    """All but those whose labels nobody can know, so that no alert misses the first."""
    watch = vm(disks=1, displays=2)
    counters = [metric for metric in ALL_VM_METRICS if isinstance(metric, Counter)]
    rows = {counter.name: watch.rows(counter.name) for counter in counters}
    unknowable = {
        counter.name
        for counter in counters
        if counter.preset == NONE
        or any(label.free and label.known in {"", "quorums"} for label in counter.labels)
    }
    assert {name for name, found in rows.items() if not found} == unknowable
    for name, found in rows.items():
        expected = 1 if name == "qmp_exporter_connects_total" else 0
        assert set(found.values()) <= {expected}


def test_presets_are_values_that_the_labels_have() -> None:
    """A row that is preset and misspelt would stand at 0 for ever."""
    for metric in ALL_VM_METRICS:
        for values in (isinstance(metric, Counter) and metric.preset) or ():
            for value, label in zip(values, metric.labels, strict=True):
                assert label.free or value in {*label.values, OTHER}, (metric.name, value)


def test_the_counters_of_the_fleet_add_up_closed_sets() -> None:
    """They have no `vm`, and so no label that a host can make more of."""
    assert set(FLEET_METRICS.values()) < set(ALL_VM_METRICS)
    for name, metric in FLEET_METRICS.items():
        assert name.startswith("qmp_exporter_fleet_")
        assert not any(label.free for label in metric.labels)


def test_what_ticks_is_a_counter_of_seconds() -> None:
    """Only they change with time alone."""
    ticking = [m.name for m in ALL_VM_METRICS if isinstance(m, Sampled) and m.ticks]
    assert all(name.endswith("_seconds_total") for name in ticking)
    assert len(ticking) == 2


def test_events_and_errors_have_a_row_for_all_that_is_unknown() -> None:
    """An event without an entry, and a line that names none, count from 0."""
    watch = vm()
    assert watch.value(EVENTS_TOTAL.name, OTHER) == 0
    assert watch.value(DECODE_ERRORS.name, OTHER) == 0
    assert watch.rows(EVENTS_TOTAL.name).keys() == set(EVENTS_TOTAL.preset or ())
