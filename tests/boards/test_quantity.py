"""The check of units knows what an expression is, and in which unit it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from boards.promql import parse
from boards.quantity import fits, kind, misfits
from boards.tiny import of_panel


if TYPE_CHECKING:
    from boards.board import Json


@pytest.mark.parametrize(
    ("expr", "good", "bad"),
    [
        ("delta(qemu_last_event_timestamp_seconds[5m])", "s", "short"),
        (
            "qemu_migration_last_downtime_seconds",
            "s ms dtdurations",
            "short percentunit bytes none",
        ),
        ("max by (vm) (qemu_rtc_offset_seconds) > 60", "s", "short"),
        ("increase(qemu_vm_stopped_seconds_total[$__range])", "s", "short percentunit"),
        ("rate(qemu_vm_stopped_seconds_total[5m])", "s percentunit", "short bytes"),
        ("100 * rate(process_cpu_seconds_total[5m])", "percent", "short"),
        ("increase(qemu_vm_stopped_seconds_total[$__range]) / $__range_s", "percentunit", "none"),
        (
            "1 - increase(a_seconds_total[1h]) / (time() - b_timestamp_seconds)",
            "percentunit",
            "none",
        ),
        ("qemu_migration_last_transferred_bytes", "bytes decbytes mbytes", "short s Bps bits"),
        ("rate(a_bytes_total[5m])", "Bps binBps MBs", "bytes short"),
        ("a_bytes / a_seconds", "Bps", "bytes s"),
        (
            "process_resident_memory_bytes / process_virtual_memory_bytes",
            "percentunit short",
            "bytes",
        ),
        ("rate(qemu_vm_stops_total[5m])", "short cps none", "s bytes dateTimeFromNow"),
        ("qemu_up or 0 * qemu_rtc_offset_seconds", "none", "s"),
        ("sum(rate(a_seconds_sum[5m])) / sum(rate(a_seconds_count[5m]))", "s", "short"),
        ("histogram_quantile(0.9, sum by (le) (rate(a_seconds_bucket[5m])))", "s", "short"),
        ("count(qemu_rtc_offset_seconds)", "short", "s"),
        ("changes(qemu_last_event_timestamp_seconds[5m])", "short", "s"),
        ("qemu_rtc_offset_seconds > bool 60", "none", "s"),
        ("time() - qemu_process_start_time_seconds", "s dtdhms", "dateTimeFromNow short"),
        ("time() - (qemu_last_event_timestamp_seconds > 0)", "s", "short"),
        ("qemu_last_event_timestamp_seconds * 1000", "dateTimeFromNow dateTimeAsIso", "s short"),
        ("1000 * max(qemu_process_start_time_seconds)", "dateTimeAsIso", "s"),
        ("qemu_last_event_timestamp_seconds", "", "s short dateTimeFromNow"),
        ("qemu_rtc_offset_seconds * on (vm) group_left (name) qemu_vm_info", "s", "short"),
        ("qemu_vm_info * on (vm) group_right (name) qemu_rtc_offset_seconds", "s", "short"),
        ("avg_over_time(qemu_rtc_offset_seconds[5m:1m])", "s", "short"),
        ("quantile_over_time(0.9, (-qemu_rtc_offset_seconds)[5m:])", "s", "short"),
    ],
)
def test_a_unit_fits_its_query(expr: str, good: str, bad: str) -> None:
    """A rate of seconds is a share of time; a Unix time is a date, once it is in milliseconds."""
    what = kind(parse(expr))
    assert what is not None
    assert {unit: fits(what, unit) for unit in (*good.split(), *bad.split())} == {
        **dict.fromkeys(good.split(), True),
        **dict.fromkeys(bad.split(), False),
    }


def test_a_mere_number_may_have_any_unit() -> None:
    """Nothing is known of it."""
    assert kind(parse("vector(1) + 2 * 3")) is None


TWO: Final = [
    {"refId": "A", "expr": "qemu_rtc_offset_seconds", "legendFormat": "clock"},
    {"refId": "B", "expr": "qemu_up"},
]


@pytest.mark.parametrize(
    ("matcher", "steps"),
    [
        ({"id": "byFrameRefID", "options": "A"}, []),
        ({"id": "byName", "options": "Value #A"}, []),
        ({"id": "byName", "options": "clock"}, []),
        (
            {"id": "byName", "options": "Offset"},
            [{"id": "organize", "options": {"renameByName": {"Value #A": "Offset"}}}],
        ),
        (
            None,
            [{"id": "filterFieldsByName", "options": {"include": {"names": ["vm", "Value #B"]}}}],
        ),
        (None, [{"id": "organize", "options": {"excludeByName": {"Value #A": True}}}]),
    ],
)
def test_an_override_is_the_unit_of_its_query(matcher: Json | None, steps: list[Json]) -> None:
    """Found by the name of the field, however it came by it; what is not shown needs no unit."""
    unit = [{"id": "decimals", "value": 0}, {"id": "unit", "value": "s"}]
    overrides = [{"matcher": matcher, "properties": unit}] if matcher else []
    looks = {"defaults": {"unit": "none"}, "overrides": overrides}
    found = {"type": "table", "targets": TWO, "fieldConfig": looks, "transformations": steps}
    assert misfits(of_panel(found)) == []


@pytest.mark.parametrize(
    "members",
    [{"type": "heatmap"}, {"type": "text"}, {"targets": [{"refId": "A", "expr": "rate("}]}],
)
def test_what_has_no_unit_to_fit_is_left_alone(members: Json) -> None:
    """Heatmaps, panels without data, and queries that other rules find."""
    assert misfits(of_panel({"targets": TWO, **members})) == []


def test_a_unit_that_does_not_fit_is_told() -> None:
    """With the query, what it is, and its unit."""
    looks = {"defaults": {"unit": "s"}, "overrides": []}
    assert misfits(of_panel({"targets": TWO, "fieldConfig": looks})) == [
        "vm.json: panel \"Stops\": query B is a number, its unit is 's'"
    ]
    assert misfits(of_panel({"targets": TWO})) == [
        "vm.json: panel \"Stops\": query A is a time in seconds, its unit is ''"
    ]
