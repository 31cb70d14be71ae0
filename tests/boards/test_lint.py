"""Our dashboards keep the rules of Grafana's dashboard-linter, but for the exceptions.

The exceptions are in ``dashboards/lint.yaml``, each with its reason.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from boards import lint
from boards.board import boards, expression, is_loki, panels, targets
from boards.exclusions import EXCEPTIONS, exclusions, unexcused
from boards.promql import substitute
from support import require_tool


if TYPE_CHECKING:
    from pathlib import Path

    from boards.board import Board


BOARDS: Final = boards()
EXCLUSIONS: Final = exclusions(EXCEPTIONS.read_text())


@pytest.fixture(params=BOARDS, ids=[board.file for board in BOARDS])
def board(request: pytest.FixtureRequest) -> Board:
    """Each of our dashboards."""
    found: Board = request.param
    return found


def keeps(board: Board, rule: str) -> None:
    """Fail with what a rule finds in a dashboard and nobody excuses."""
    found = unexcused(lint.RULES[rule](board.model), EXCLUSIONS)
    said = [f"{one.panel or 'dashboard'} {one.query}: {one.message}" for one in found]
    assert not said, "\n".join((f"{board.file}, {rule}:", *said))


def test_there_are_five_dashboards() -> None:
    """Fleet, one VM, migrations, storage, and the exporter itself; each with a title of its own."""
    names = ["exporter.json", "fleet.json", "migrations.json", "storage.json", "vm.json"]
    assert [board.file for board in BOARDS] == names
    assert len({board.model["title"] for board in BOARDS}) == len(names)


def test_every_rule_of_the_linter_has_a_test() -> None:
    """The linter has 17 rules, and there is a test of each here, named after it."""
    tests = {name for name in globals() if name.startswith("test_")}
    wanted = {"test_" + name.removesuffix("-rule").replace("-", "_") for name in lint.RULES}
    assert len(wanted) == 17
    assert wanted <= tests


def test_template_datasource(board: Board) -> None:
    """Which Prometheus is asked is chosen at the top."""
    keeps(board, "template-datasource-rule")


def test_template_job(board: Board) -> None:
    """Jobs are chosen at the top."""
    keeps(board, "template-job-rule")


def test_template_instance(board: Board) -> None:
    """Instances are chosen at the top."""
    keeps(board, "template-instance-rule")


def test_template_label_promql(board: Board) -> None:
    """The queries of variables can be read."""
    keeps(board, "template-label-promql-rule")


def test_template_on_time_change_reload(board: Board) -> None:
    """Variables follow the time range."""
    keeps(board, "template-on-time-change-reload-rule")


def test_panel_datasource(board: Board) -> None:
    """Panels ask the Prometheus that is chosen."""
    keeps(board, "panel-datasource-rule")


def test_panel_title_description(board: Board) -> None:
    """Panels have a title and a description."""
    keeps(board, "panel-title-description-rule")


def test_panel_units(board: Board) -> None:
    """Panels have a unit."""
    keeps(board, "panel-units-rule")


def test_panel_no_targets(board: Board) -> None:
    """Panels have a query."""
    keeps(board, "panel-no-targets-rule")


def test_target_promql(board: Board) -> None:
    """Queries are PromQL."""
    keeps(board, "target-promql-rule")


def test_target_logql(board: Board) -> None:
    """There are no queries of Loki."""
    keeps(board, "target-logql-rule")
    asked = [(panel, target) for panel in panels(board.model) for target in targets(panel)]
    assert not any(is_loki(board.model, *one) for one in asked)


def test_target_logql_auto(board: Board) -> None:
    """No query of Loki has a fixed range."""
    keeps(board, "target-logql-auto-rule")


def test_target_rate_interval(board: Board) -> None:
    """Rates are over an interval that has samples."""
    keeps(board, "target-rate-interval-rule")


def test_target_job(board: Board) -> None:
    """Queries keep to the chosen jobs."""
    keeps(board, "target-job-rule")


def test_target_instance(board: Board) -> None:
    """Queries keep to the chosen instances."""
    keeps(board, "target-instance-rule")


def test_target_counter_agg(board: Board) -> None:
    """No counter is shown as it is."""
    keeps(board, "target-counter-agg-rule")


def test_uneditable_dashboard(board: Board) -> None:
    """Dashboards are changed where they are built, not in Grafana."""
    keeps(board, "uneditable-dashboard")


def test_each_exception_has_a_reason_and_is_needed() -> None:
    """An exception says why it is one, and is gone when there is nothing left to excuse."""
    found = [finding for rule in lint.RULES.values() for b in BOARDS for finding in rule(b.model)]
    assert [one for one in EXCLUSIONS if not one.reason.strip()] == []
    assert [one for one in EXCLUSIONS if not any(map(one.excuses, found))] == []


def test_prometheus_itself_reads_every_query(tmp_path: Path) -> None:
    """What is PromQL to the parser of the rules is PromQL to Prometheus."""
    rules: list[dict[str, Any]] = []
    for board in BOARDS:
        for place, panel in enumerate(panels(board.model)):
            for target in targets(panel):
                name = re.sub(r"\W", "_", f"{board.file}_{place}_{target['refId']}")
                rules.append({"record": name, "expr": substitute(expression(target))})
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    command = [require_tool("promtool"), "check", "rules", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
