"""Dashboards, rules and alerts name what the catalog has, and show it with units that fit."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

import msgspec
import pytest

from boards.board import boards, panels, targets, title
from boards.catalog import RuleFile, problems, rule_files
from boards.quantity import misfits
from boards.series import series
from boards.tiny import asking
from qmp_exporter.catalog.metrics import ALL_VM_METRICS, FLEET_METRICS
from qmp_exporter.catalog.own_metrics import OWN_METRICS


if TYPE_CHECKING:
    from collections.abc import Iterator

    from boards.board import Board
    from boards.series import Labels


BOARDS: Final = boards()
RULES: Final = rule_files()
SERIES: Final = series()


def test_all_that_is_named_is_in_the_catalog() -> None:
    """Every metric, label and label value of every query, legend, rule and alert exists.

    What does not is told with its dashboard and panel, variable or annotation, or with its rule or
    alert.
    """
    found = problems(SERIES, BOARDS, RULES)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("one", BOARDS, ids=[one.file for one in BOARDS])
def test_units_fit_the_metrics(one: Board) -> None:
    """Seconds are shown as a time and bytes as bytes, and nothing else is."""
    found = misfits(one)
    assert not found, "\n".join(found)


# ---- a metric is renamed


RENAMED: Final = "qemu_renamed_total"


def places() -> Iterator[tuple[str, str]]:
    """Yield all that asks Prometheus, as problems name it, and its text."""
    for one in BOARDS:
        templating, notes = one.model["templating"]["list"], one.model["annotations"]["list"]
        for variable in templating:
            if variable["type"] == "query":
                yield f'{one.file}: variable "{variable["name"]}"', json.dumps(variable["query"])
        for note in notes:
            yield f'{one.file}: annotation "{note["name"]}"', note.get("expr", "")
        for panel in panels(one.model):
            exprs = [target.get("expr", "") for target in targets(panel)]
            yield f'{one.file}: panel "{title(panel)}"', " ".join(exprs)
    for file in RULES:
        for rule in file.rules:
            kind_of, name = ("rule", "record") if "record" in rule else ("alert", "alert")
            yield f'{file.file}: {kind_of} "{rule[name]}"', rule["expr"]


PLACES: Final = list(places())


def using(names: set[str]) -> set[str]:
    """Return the places that have one of the names in their text, or what is recorded of one."""
    pattern = re.compile(rf"(?<![\w:])({'|'.join(map(re.escape, names))})(?![\w:])")
    found = {place for place, text in PLACES if pattern.search(text)}
    recorded = {place.split('"')[1] for place in found if ": rule " in place}
    return found | (using(recorded) if recorded - names else set())


def renamed() -> Iterator[tuple[str, set[str], dict[str, Labels]]]:
    """Yield each metric of the catalog, the names of its series, and the series without them."""
    for place, metric in enumerate(ALL_VM_METRICS):
        vm = list(ALL_VM_METRICS)
        vm[place] = msgspec.structs.replace(metric, name=RENAMED)
        yield metric.name, {metric.name}, series(vm=vm)
    for name, counter in FLEET_METRICS.items():
        fleet = {other: FLEET_METRICS[other] for other in FLEET_METRICS if other != name}
        yield name, {name}, series(fleet={**fleet, RENAMED: counter})
    for place, mine in enumerate(OWN_METRICS):
        own = list(OWN_METRICS)
        own[place] = msgspec.structs.replace(mine, name=RENAMED)
        names = {mine.name, *(f"{mine.name}_{part}" for part in ("bucket", "sum", "count"))}
        yield mine.name, names, series(own=own)


def test_a_rename_names_each_panel_and_alert_that_breaks() -> None:
    """Whichever metric of the catalog is renamed, what uses it is told, and nothing else is.

    That is every panel, variable, annotation, rule and alert with the metric in its text, and
    every one with the name that a rule records of it.
    """
    used = 0
    for metric, names, known in renamed():
        found = problems(known, BOARDS, RULES)
        wanted = using(names)
        assert {line[: line.rindex('": ') + 1] for line in found} == wanted, metric
        assert all(f"no metric {metric}" in line for line in found), metric
        used += bool(wanted)
    assert used >= 50


def test_a_rename_is_told_as_people_read_it() -> None:
    """One line for each place: the file, what is in it, and what it misses."""
    model = asking('rate(qemu_vm_stops_total{cause="host"}[$__rate_interval])', legend="{{vm}}")
    (rename,) = (known for metric, _, known in renamed() if metric == "qemu_vm_stops_total")
    record = {"record": "vm:stops", "expr": "increase(qemu_vm_stops_total[5m])"}
    alert = {"alert": "Stops", "expr": 'vm:stops{cause="host"} > 0'}
    other = {"alert": "Exits", "expr": "increase(qemu_vm_exits_total[5m]) > 0"}
    rules = RuleFile("rules.yaml", [record, alert, other])
    assert problems(rename, [model], [rules]) == [
        'rules.yaml: rule "vm:stops": no metric qemu_vm_stops_total',
        'rules.yaml: alert "Stops": no metric qemu_vm_stops_total, of which vm:stops is recorded',
        'vm.json: panel "Stops": no metric qemu_vm_stops_total',
    ]
    assert problems(SERIES, [model], [rules]) == []
