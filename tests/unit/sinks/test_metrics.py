"""The metrics sink: what is counted, what is shown, and that both may happen at once."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text_format

from builders import (
    BOOT,
    EVERYTHING,
    SOME,
    START,
    Watch,
    blocks,
    connected,
    drive,
    event,
    link,
    samples,
    status,
)
from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.catalog.metrics import ALL_VM_METRICS, FLEET_METRICS
from qmp_exporter.catalog.states import TargetState
from qmp_exporter.model.target import Target
from qmp_exporter.model.vm import VM, Step
from qmp_exporter.sinks.metrics import MetricsSink
from unit.sinks.reference import HOSTILE, crowd, read, reference


ERRORS = "qemu_block_io_errors_total"
POWERDOWN = "qemu_vm_powerdown_requests_total"
SECONDS = "qemu_vm_stopped_seconds_total"


def test_the_text_format_is_that_of_prometheus_client() -> None:
    """The same families, types, HELP and samples as generate_latest makes of the same numbers."""
    watch = crowd()
    theirs = read(text_format(generate_latest(reference(watch, 70)).decode()))
    assert read(text_format(watch.page(70))) == theirs
    assert len(theirs) > 40


@pytest.mark.parametrize("traced", [False, True])
def test_openmetrics_is_that_of_prometheus_client(traced: bool) -> None:  # noqa: FBT001
    """Here, too, and the strict parser takes it; exemplars are the same, if there are any."""
    watch = crowd(traced=traced)
    page = generate_openmetrics(reference(watch, 70)).decode()  # type: ignore[no-untyped-call]
    assert ('{span_id="' in page) is traced
    theirs = read(openmetrics(page))  # type: ignore[no-untyped-call]
    ours = read(openmetrics(watch.page(70, openmetrics=True)))  # type: ignore[no-untyped-call]
    assert ours == theirs
    assert len(theirs) > 40


@pytest.mark.parametrize("openmetrics_too", [False, True])
def test_each_family_stands_together(openmetrics_too: bool) -> None:  # noqa: FBT001
    """One HELP, one TYPE, then its samples; the order is that of the catalog."""
    page = crowd().page(70, openmetrics=openmetrics_too)
    heads = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")]
    assert len(set(heads)) == len(heads)
    order = [metric.name for metric in ALL_VM_METRICS] + list(FLEET_METRICS)
    if openmetrics_too:
        order = [name.removesuffix("_total") for name in order]
    assert heads == [name for name in order if name in heads]
    family = ""
    for line in page.removesuffix("# EOF\n").splitlines():
        if line.startswith("# HELP"):
            family = line.split()[2]
        elif not line.startswith("#"):
            assert re.split("[{ ]", line)[0].removesuffix("_total") == family.removesuffix("_total")


def test_hostile_names_are_only_text() -> None:
    """Quotes, backslashes and braces in a VM's name and a disk's come back as they were."""
    shown = samples(crowd().page(70))
    assert (POWERDOWN, (HOSTILE,)) in shown
    assert ("qemu_block_io_status", ("web", HOSTILE, "ok")) in shown


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@SOME
@given(st.lists(NAMES, max_size=4, unique=True), st.lists(NAMES, max_size=4, unique=True))
def test_whatever_vms_and_disks_are_called(vms: list[str], disks: list[str]) -> None:
    """Both parsers read every name back, each once."""
    watch = Watch(*(f"/run/{n}" for n in range(len(vms))))
    for n, name in enumerate(vms):
        watch.feed(connected(name=name), f"/run/{n}")
        watch.feed(blocks(*map(drive, disks)), f"/run/{n}")
    names = {member.name for member in watch.fleet}
    shown = {values[0] for name, values in samples(watch.page()) if name == "qemu_up"}
    assert shown == names
    assert read(openmetrics(watch.page(openmetrics=True)))  # type: ignore[no-untyped-call]


def test_only_what_is_asked_for_is_shown() -> None:
    """`names` are those of samples, counters with `_total`."""
    watch = crowd()
    for openmetrics_too in (False, True):
        page = watch.sink.render(
            BOOT, openmetrics=openmetrics_too, names=frozenset({"qemu_up", POWERDOWN, "nothing"})
        )
        heads = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")]
        total = "" if openmetrics_too else "_total"
        assert heads == [f"qemu_vm_powerdown_requests{total}", "qemu_up"]
    assert watch.sink.render(BOOT, openmetrics=False, names=frozenset({"nothing"})) == ""


def test_without_vms_there_are_only_sums() -> None:
    """No family without a sample; the counters of the fleet stand at 0."""
    page = MetricsSink().render(BOOT, openmetrics=False, names=EVERYTHING)
    shown = samples(page)
    assert {name for name, _ in shown} == set(FLEET_METRICS)
    assert set(shown.values()) == {0}
    assert page.count("# TYPE") == len(FLEET_METRICS)


def test_a_page_that_did_not_change_is_not_made_again() -> None:
    """Nothing waits after a page, and time moves only what counts seconds."""
    watch = Watch()
    watch.all(connected(), status("running"), event("POWERDOWN", at=1))
    page = watch.page(2)
    assert not watch.sink._queue
    assert not watch.sink._ticking
    assert watch.page(500) == page
    watch.feed(event("POWERDOWN", at=3))
    assert watch.page(500) != page


def test_time_moves_the_seconds_of_a_vm_that_is_stopped() -> None:
    """Without any input; and no more once it runs."""
    watch = Watch()
    watch.all(connected(), event("STOP", at=1), status("paused", 1))
    assert [watch.value(SECONDS, "host", at=at) for at in (1, 2.5, 9)] == [0, 1.5, 8]
    watch.feed(event("RESUME", at=10))
    assert [watch.value(SECONDS, "host", at=at) for at in (10, 99)] == [9, 9]


def test_seconds_never_fall_though_a_stop_ends_before_the_last_page() -> None:
    """A page is rendered by a later clock than the RESUME is stamped with."""
    watch = Watch()
    watch.all(connected(), event("STOP", at=1), status("paused", 1))
    assert watch.value(SECONDS, "host", at=6) == 5
    watch.feed(event("RESUME", at=5.5))
    assert watch.value(SECONDS, "host", at=6) == 5
    watch.all(event("STOP", at=7), status("paused", 7))
    assert watch.value(SECONDS, "host", at=7.25) == 5
    assert watch.value(SECONDS, "host", at=8) == 5.5


def test_a_decode_error_is_counted() -> None:
    """By the event that the line names."""
    watch = Watch()
    for name in ("STOP", "other", "STOP"):
        watch.sink.decode_error("web", name)
    assert watch.rows("qmp_exporter_decode_errors_total") == {("other",): 1, ("STOP",): 2}


def test_the_value_of_a_counter_is_the_sum_of_its_rows() -> None:
    """0 for what is no counter."""
    watch = Watch()
    watch.all(connected(), *[event("POWERDOWN", at=n) for n in range(3)])
    watch.all(event("WATCHDOG", {"action": "none"}), event("WATCHDOG", {"action": "pause"}))
    assert watch.sink.value("web", POWERDOWN) == 3
    assert watch.sink.value("web", "qemu_watchdog_actions_total") == 2
    assert watch.sink.value("web", "qemu_up") == 0


def error(disk: str, at: float = 0.0, operation: str = "read") -> Any:
    """Return an error of a disk that is reported to the guest."""
    data = {"device": disk, "operation": operation, "action": "report"}
    return event("BLOCK_IO_ERROR", data, at)


def test_ids_beyond_the_limit_share_a_row() -> None:
    """The first so many are shown, the rest count as `other`; each time is told."""
    watch = Watch(label_sets=3)
    watch.feed(connected())
    for number in range(5):
        watch.feed(error(f"disk{number}", number))
    assert watch.risen(ERRORS) == {
        ("disk0", "read", "report"): 1,
        ("disk1", "read", "report"): 1,
        ("disk2", "read", "report"): 1,
        ("other", "read", "report"): 2,
    }
    assert watch.overflows == [ERRORS] * 2
    watch.feed(error("disk0", 9))
    assert watch.value(ERRORS, "disk0", "read", "report") == 2
    assert watch.overflows == [ERRORS] * 2
    watch.feed(error("disk9", 9, "write"))
    assert watch.value(ERRORS, "other", "write", "report") == 1


def test_closed_sets_have_no_limit() -> None:
    """A small limit hides nothing whose labels cannot grow, and counts no overflow."""
    watch = Watch(label_sets=1)
    watch.all(connected(), status("running"), event("STOP", at=1), status("io-error", 1))
    common = [spec for spec in EVENTS if not spec.rare]
    assert len(watch.rows("qemu_events_total")) == len(common) + 1
    assert watch.value("qemu_vm_stops_total", "io-error") == 1
    assert watch.overflows == []


def test_one_vms_limit_is_not_anothers() -> None:
    """Each VM has its own rows."""
    watch = Watch("/run/a.sock", "/run/b.sock", label_sets=1)
    for address in ("/run/a.sock", "/run/b.sock"):
        watch.feed(connected(name=address[5]), address)
        watch.feed(error(f"disk of {address}"), address)
    assert watch.overflows == []


def test_a_new_name_takes_all() -> None:
    """Counters, gauges, seconds and the time of the last event go with the VM."""
    watch = Watch()
    watch.all(connected(), status("running"), error("disk0", 1), event("RTC_CHANGE", {"offset": 5}))
    watch.all(event("STOP", at=2), status("paused", 2))
    before = watch.page(9)
    watch.sink.rename("web", "www")
    assert samples(watch.page(9)) == samples(before.replace('vm="web"', 'vm="www"'))


def test_a_name_that_was_somebodys_adds_up() -> None:
    """Rows of both are added, within the limit; the younger last event is the last."""
    watch = Watch("/run/a.sock", "/run/b.sock", label_sets=2)
    for address, disk in (("/run/a.sock", "x"), ("/run/b.sock", "y")):
        watch.feed(connected(name=address[5]), address)
        watch.feed(error("both", 1), address)
        watch.feed(error(disk, 2 if disk == "x" else 5), address)
    watch.sink.rename("b", "a")
    shown = samples(watch.page(9))
    assert {v[1]: n for (name, v), n in shown.items() if name == ERRORS} == {
        "both": 2,
        "x": 1,
        "other": 1,
    }
    assert shown["qemu_last_event_timestamp_seconds", ("a",)] == START + 5
    assert shown["qmp_exporter_connects_total", ("a",)] == 2
    assert {values[0] for (name, values) in shown if name == "qemu_up"} == {"a"}
    watch = Watch("/run/a.sock", "/run/b.sock")
    watch.feed(error("x", 5), "/run/a.sock")
    watch.sink.rename("b", "a")
    assert samples(watch.page(9))["qemu_last_event_timestamp_seconds", ("a",)] == START + 5


def test_what_is_forgotten_vanishes() -> None:
    """All of its series, at once; what it counted stays in the sums over all VMs."""
    watch = Watch()
    watch.watch(Target("/run/other.sock"))
    watch.all(connected(), event("STOP", at=1), status("io-error", 1), event("POWERDOWN", at=2))
    assert 'vm="web"' in watch.page(3)
    watch.sink.forget("web")
    shown = samples(watch.page(3))
    assert not [series for series in shown if "web" in series[1]]
    assert shown["qmp_exporter_fleet_events_total", ("POWERDOWN",)] == 1
    assert shown["qmp_exporter_fleet_stops_total", ("io-error",)] == 1
    watch.sink.add("web")
    shown = samples(watch.page(3))
    assert shown["qemu_up", ("web",)] == 0
    assert shown["qmp_exporter_connects_total", ("web",)] == 0


def test_exits_add_up_over_all_vms() -> None:
    """The fleet's counter has no `vm`."""
    watch = Watch("/run/a.sock", "/run/b.sock")
    for address in ("/run/a.sock", "/run/b.sock"):
        watch.feed(connected(name=address[5]), address)
        watch.feed(link(TargetState.GONE, 1), address)
    assert samples(watch.page())["qmp_exporter_fleet_exits_total", ("crash",)] == 2


def test_a_vm_that_is_known_is_shown_as_it_is() -> None:
    """A sink may be told of a VM that was there before it."""
    vm = Watch()
    vm.all(connected(), status("running"))
    sink = MetricsSink()
    sink.add("web", vm.vm)
    shown = samples(sink.render(BOOT, openmetrics=False, names=EVERYTHING))
    assert shown["qemu_up", ("web",)] == 1
    assert shown["qemu_vm_status", ("web", "running")] == 1


def test_a_step_of_a_vm_that_stays_the_same_counts() -> None:
    """An event that changes no state is counted all the same."""
    sink, vm = MetricsSink(), VM()
    sink.add("web")
    sink.take("web", event("POWERDOWN"), vm, Step(vm), None)
    assert sink.value("web", POWERDOWN) == 1
