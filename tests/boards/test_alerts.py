"""The alerts and the recording rules: what tests there are of them, and what belongs to them."""

from __future__ import annotations

import re
import subprocess
from itertools import chain
from typing import TYPE_CHECKING, Final

import pytest
import yaml

from boards.board import PROMETHEUS, ROOT
from boards.catalog import rule_files
from support import require_tool


if TYPE_CHECKING:
    from pathlib import Path


RUNBOOKS: Final = ROOT / "docs" / "runbooks"
FILES: Final = sorted((PROMETHEUS / "tests").glob("*.yaml"))

SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
RECORDED: Final = re.compile(r"\bvm:\w+:\w+")

BY_FILE: Final = dict(rule_files())
RULES: Final = {rule["record"]: rule for rule in BY_FILE["rules.yaml"]}
ALERTS: Final = {rule["alert"]: rule for rule in BY_FILE["alerts.yaml"]}
TESTS: Final = [test for file in FILES for test in yaml.safe_load(file.read_text())["tests"]]

each_alert = pytest.mark.parametrize("alert", ALERTS)


def seconds(duration: str) -> int:
    """A duration as Prometheus writes it."""
    return sum(int(n) * SECONDS[unit] for n, unit in re.findall(r"(\d+)([smhd])", duration))


def courses(alert: str) -> list[list[bool]]:
    """Of each test that asks for the alert, whether it fires, in the order of time."""
    asked = (
        sorted(
            (seconds(case["eval_time"]), bool(case["exp_alerts"]))
            for case in test.get("alert_rule_test", ())
            if case["alertname"] == alert
        )
        for test in TESTS
    )
    return [[fires for _, fires in cases] for cases in asked if cases]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_promtool_finds_the_rules_as_their_tests_promise(file: Path) -> None:
    """Every promise of the file is kept."""
    found = subprocess.run(
        [require_tool("promtool"), "test", "rules", file.name],
        cwd=file.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout


def test_every_test_of_the_rules_promises_something_of_its_own() -> None:
    """Each has a sentence for a name, which no other has, since promtool tells of it by that."""
    names = [test["name"] for test in TESTS]
    assert [name for name in names if not re.fullmatch(r"[A-Z].+\.", name)] == []
    assert len(set(names)) == len(names)


def test_every_test_of_an_alert_is_of_one_that_there_is() -> None:
    """Promtool finds that an alert of a wrong name does not fire, and is content."""
    asked = {case["alertname"] for test in TESTS for case in test.get("alert_rule_test", ())}
    assert asked == set(ALERTS)


@each_alert
def test_an_alert_is_seen_to_fire_and_to_resolve(alert: str) -> None:
    """In one test it fires, and does not at a later time."""
    assert any(False in fires[fires.index(True) :] for fires in courses(alert) if any(fires))


@each_alert
def test_an_alert_is_seen_to_wait_for_its_cause(alert: str) -> None:
    """In one test it does not fire before the time at which it does."""
    assert any(not fires[0] for fires in courses(alert) if any(fires))


@each_alert
def test_an_alert_is_seen_not_to_fire_where_nothing_is_wrong(alert: str) -> None:
    """One test is of what is like its cause, and it never fires there."""
    assert any(not any(fires) for fires in courses(alert))


@each_alert
def test_an_alert_says_how_bad_it_is_and_what_happened(alert: str) -> None:
    """It has a severity and texts for people."""
    rule = ALERTS[alert]
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert all(rule["annotations"].values())


@each_alert
def test_an_alert_has_a_runbook_of_its_own(alert: str) -> None:
    """It is where the alert says, and has its name."""
    runbook = ALERTS[alert]["annotations"]["runbook_url"].rpartition("/")[2]
    assert runbook == f"{alert}.md"
    assert (RUNBOOKS / runbook).is_file()


def test_the_names_of_alerts_are_alike_and_tell_them_apart() -> None:
    """They are in CamelCase, begin with Qemu or Qmp, and each is there once."""
    names = [rule["alert"] for rule in BY_FILE["alerts.yaml"]]
    assert [name for name in names if not re.fullmatch(r"(Qemu|Qmp)([A-Z][a-z]+)+", name)] == []
    assert len(set(names)) == len(names)


def test_every_runbook_is_of_an_alert() -> None:
    """None was left behind by an alert that is gone; the README tells of them all."""
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} <= set(ALERTS)


def test_every_recorded_series_is_named_by_an_alert_and_the_other_way_round() -> None:
    """No rule is there for nothing, and no alert waits for a series that nobody records."""
    named = chain.from_iterable(RECORDED.findall(rule["expr"]) for rule in ALERTS.values())
    assert set(named) == set(RULES)
    assert len(RULES) == len(BY_FILE["rules.yaml"])


def test_every_recording_rule_is_seen_to_record() -> None:
    """One test expects a series of it."""
    expected = {
        RECORDED.match(sample["labels"])
        for test in TESTS
        for case in test.get("promql_expr_test", ())
        for sample in case["exp_samples"]
    }
    assert {found.group() for found in expected if found} == set(RULES)
