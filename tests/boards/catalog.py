"""Whether dashboards, rules and alerts name only metrics, labels and values that there are."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import yaml

from boards import board as boards
from boards.promql import substitute
from boards.reading import Known, Reading
from boards.series import SCRAPED, either


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from boards.board import Board, Json
    from boards.series import Labels


_IN_BRACES: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_OF_FIELD: Final = re.compile(r"__field\.labels\.(\w+)")
_OF_ALERT: Final = re.compile(r"\$labels\.(\w+)")
_OF_FRAME: Final = re.compile(r"(Time|Value)( #?\w+)?")
_AGAIN: Final = re.compile(r" \d+$")


class RuleFile(NamedTuple):
    """A file of rules.

    Attributes:
        file: its name.
        rules: the recording rules and alerts in it.
    """

    file: str
    rules: list[Json]


def rule_files(folder: Path = boards.PROMETHEUS) -> list[RuleFile]:
    """Return the files of rules and alerts in ``dashboards/prometheus``."""
    found = []
    for path in sorted(folder.glob("*.yaml")):
        groups = yaml.safe_load(path.read_text())["groups"]
        found.append(RuleFile(path.name, [rule for group in groups for rule in group["rules"]]))
    return found


def problems(
    found: dict[str, Labels], dashboards: Iterable[Board], files: Iterable[RuleFile]
) -> list[str]:
    """Return what names something that there is not, a line for each.

    Args:
        found: the series that there are, as ``series`` returns them.
        dashboards: to look through.
        files: of rules and alerts, to look through; what they record is known to all.
    """
    files = list(files)
    known = Known(dict(found))
    lines = record(known, files)
    lines += chain.from_iterable(_alerting(known, one) for one in files)
    known.series["ALERTS"] = _alerts(known, files)
    for one in dashboards:
        lines += _of_board(known, one)
    return lines


def _lines(place: str, found: Iterable[str]) -> list[str]:
    return [f"{place}: {problem}" for problem in dict.fromkeys(found)]


def record(known: Known, files: Iterable[RuleFile]) -> list[str]:
    """Add what recording rules record to what is known; return what breaks of them, a line each."""
    lines = []
    for one in files:
        for rule in one.rules:
            if "record" in rule:
                reading = Reading(known)
                labels = reading.expression(rule["expr"])
                name = rule["record"]
                known.series[name] = {**(labels or {}), **dict.fromkeys(rule.get("labels", ()))}
                if reading.problems:
                    known.broken[name] = list(reading.problems)
                lines += _lines(f'{one.file}: rule "{name}"', reading.problems)
    return lines


def _alerting(known: Known, one: RuleFile) -> Iterator[str]:
    for rule in one.rules:
        if "alert" in rule:
            reading = Reading(known)
            labels = reading.expression(rule["expr"])
            for name in _OF_ALERT.findall(str(rule.get("annotations", ""))):
                if labels is not None and name not in labels:
                    reading.say(f"its text has $labels.{name}: there is no label {name}")
            yield from _lines(f'{one.file}: alert "{rule["alert"]}"', reading.problems)


def _alerts(known: Known, files: Iterable[RuleFile]) -> Labels:
    """Return the labels of the series that Prometheus makes of alerts.

    Source: Prometheus documentation, "Alerting rules", "Inspecting alerts during runtime".
    """
    alerts = [rule for one in files for rule in one.rules if "alert" in rule]
    labels = either(Reading(known).expression(rule["expr"]) or {} for rule in alerts)
    given = either(
        {name: frozenset([value]) for name, value in rule.get("labels", {}).items()}
        for rule in alerts
    )
    return {
        **SCRAPED,
        **labels,
        **given,
        "alertname": frozenset(rule["alert"] for rule in alerts),
        "alertstate": frozenset(("pending", "firing")),
    }


def _of_board(known: Known, one: Board) -> Iterator[str]:
    values = boards.fixed(one.model)
    for variable in boards.variables(one.model, "query"):
        place = f'{one.file}: variable "{variable["name"]}"'
        yield from _lines(place, _of_variable(known, boards.query(variable), values))
    for annotation in boards.queried_annotations(one.model):
        place = f'{one.file}: annotation "{annotation["name"]}"'
        yield from _lines(place, _of_annotation(known, annotation, values))
    for panel in boards.panels(one.model):
        place = f'{one.file}: panel "{boards.title(panel)}"'
        yield from _lines(place, _of_panel(known, panel, values))


def _of_variable(known: Known, text: str, values: Mapping[str, str]) -> Iterator[str]:
    query = boards.read_query(text)
    reading = Reading(known)
    if query.expr and query.function == "metrics":
        if not any(re.search(query.expr, name) for name in known.series):
            reading.say(f"no metric {query.expr}")
    elif query.expr:
        labels = reading.expression(substitute(query.expr, **values))
        if query.label and labels is not None and query.label not in labels:
            reading.say(f"there is no label {query.label}")
    yield from reading.problems


def _of_annotation(known: Known, annotation: Json, values: Mapping[str, str]) -> Iterator[str]:
    reading = Reading(known)
    labels = reading.expression(substitute(boards.expression(annotation), **values))
    texts = (annotation.get("titleFormat") or "", annotation.get("textFormat") or "")
    named = [name for text in texts for name in _IN_BRACES.findall(text)]
    named += re.findall(r"\w+", annotation.get("tagKeys") or "")
    for name in named:
        if labels is not None and name not in labels:
            reading.say(f"its text has {{{{{name}}}}}: there is no label {name}")
    yield from reading.problems


def _of_panel(known: Known, panel: Json, values: Mapping[str, str]) -> Iterator[str]:
    found: list[Labels] = []
    for target in boards.targets(panel):
        if not boards.expression(target):
            continue
        reading = Reading(known)
        labels = reading.expression(substitute(boards.expression(target), **values))
        for name in _IN_BRACES.findall(target.get("legendFormat") or ""):
            if labels is not None and name not in labels:
                reading.say(f"its legend has {{{{{name}}}}}: there is no label {name}")
        found += [labels] if labels is not None else []
        yield from reading.problems
    if len(found) == len(boards.targets(panel)):
        known_here = either(found)
        for name in (*_OF_FIELD.findall(str(panel.get("fieldConfig", ""))), *_columns(panel)):
            if name not in known_here:
                yield f"it shows the label {name}: there is none"


def _columns(panel: Json) -> Iterator[str]:
    """Yield the labels that a table takes for columns, by the names that they have at first."""
    if any(target.get("format") != "table" for target in boards.targets(panel)):
        return
    for step in panel.get("transformations") or ():
        options: dict[str, Any] = step.get("options") or {}
        if step["id"] == "filterFieldsByName":
            names = (options.get("include") or {}).get("names") or []
        elif step["id"] == "organize":
            names = [*options.get("indexByName", ()), *options.get("renameByName", ())]
        else:
            names = []
        yield from (_AGAIN.sub("", name) for name in names if not _OF_FRAME.fullmatch(name))
        if step["id"] not in ("filterFieldsByName", "joinByField", "merge"):
            return
