"""The files of dashboards/: what wrote them, and how Grafana, Prometheus and mixins take them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import _gojsonnet
import pytest
import yaml

from boards.board import GRAFANA, PROMETHEUS, ROOT, boards
from dashboards import build, states
from dashboards.alerts import ALERTS
from qmp_exporter.catalog.states import IO_STATUSES, MIGRATION_STATUSES, RUN_STATES, TargetState


DASHBOARDS = Path(build.__file__).parent
NAMES = ("exporter", "fleet", "migrations", "storage", "vm")
BOARDS = {one.name: one.model for one in boards()}
SETUP = ROOT / "deploy" / "otel"


@pytest.mark.parametrize(
    ("path", "text"), list(build.files()), ids=lambda value: getattr(value, "name", "")
)
def test_current(path: Path, text: str) -> None:
    """Each file is what its builder writes: scripts/dashboards writes it anew."""
    assert path.read_text() == text


@pytest.mark.parametrize("name", NAMES)
def test_who_it_is(name: str) -> None:
    """Links and provisioning rely on the uid, which never changes; Grafana numbers it itself."""
    found = BOARDS[name]
    assert found["uid"] == f"qmp-{name}"
    assert "id" not in found
    assert "version" not in found
    assert found["title"].startswith("QEMU / ")
    assert (found["refresh"], found["graphTooltip"]) == ("30s", 1)


@pytest.mark.parametrize("name", NAMES)
def test_panels_say_none(name: str) -> None:
    """A panel that has nothing to show says so, and is not mistaken for one that is broken."""
    for panel in BOARDS[name]["panels"]:
        if panel["type"] != "row":
            expected = "0" if panel["type"] == "stat" else "none"
            assert panel["fieldConfig"]["defaults"]["noValue"] == expected, panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_panels_have_a_place(name: str) -> None:
    """Panels are numbered, and none lies on another or outside the 24 columns."""
    panels = BOARDS[name]["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not taken & cells, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells


@pytest.mark.parametrize("name", NAMES)
def test_the_others_are_a_click_away(name: str) -> None:
    """All dashboards link to one another, and keep the time and what was chosen."""
    found = BOARDS[name]
    (link,) = found["links"]
    assert link["tags"] == found["tags"] == ["qmp-exporter"]
    assert (link["type"], link["keepTime"], link["includeVars"]) == ("dashboards", True, True)
    assert "placement" not in link, "it would be in a menu"


@pytest.mark.parametrize("name", NAMES)
def test_links_to_the_vm(name: str) -> None:
    """A link to a VM names the dashboard, and sets the variables that it has."""
    known = {variable["name"] for variable in BOARDS["vm"]["templating"]["list"]}
    for panel in BOARDS[name]["panels"]:
        for link in panel.get("fieldConfig", {}).get("defaults", {}).get("links", ()):
            path, _, query = link["url"].partition("?")
            assert path == f"/d/{BOARDS['vm']['uid']}"
            for part in query.split("&"):
                if part.startswith("var-"):
                    assert part.partition("=")[0].removeprefix("var-") in known
                else:
                    assert part in {
                        "${__url_time_range}",
                        "${job:queryparam}",
                        "${instance:queryparam}",
                    }


@pytest.mark.parametrize("name", NAMES)
def test_annotations(name: str) -> None:
    """Panics, watchdogs, resets and migrations are marked on every dashboard."""
    found = [note["name"] for note in BOARDS[name]["annotations"]["list"]]
    assert found == ["Panics", "Watchdogs", "Resets", "Migrations"]


@pytest.mark.parametrize("name", NAMES)
def test_counts_lead_to_traces(name: str) -> None:
    """Graphs of how often something happened ask for exemplars, others do not."""
    for panel in BOARDS[name]["panels"]:
        bars = panel.get("fieldConfig", {}).get("defaults", {}).get("custom", {}).get("drawStyle")
        for target in panel.get("targets", ()):
            assert target.get("exemplar", False) == (bars == "bars"), panel["title"]


@pytest.mark.parametrize(
    ("shown", "known"),
    [
        (states.RUN, RUN_STATES),
        (states.MIGRATION, MIGRATION_STATUSES),
        (states.MONITOR, tuple(TargetState)),
        (states.DISK, IO_STATUSES),
    ],
)
def test_states(shown: dict[str, Any], known: tuple[str, ...]) -> None:
    """Every state of the catalog has its place on time lines, and what is bad is red."""
    assert tuple(shown) == known
    bad = {"io-error", "guest-panicked", "internal-error", "failed", "nospace", "unresponsive"}
    for name, state in shown.items():
        assert (state.color == "red") >= (name in bad), name


def test_colours_are_of_states_that_there_are() -> None:
    """No colour is kept for a state that was renamed."""
    assert states._RUN.keys() <= set(RUN_STATES)
    assert states._MIGRATION.keys() <= set(MIGRATION_STATUSES)
    assert states._MONITOR.keys() <= {state.value for state in TargetState}
    assert states._IO.keys() <= set(IO_STATUSES)


def test_mixin() -> None:
    """The mixin is these files, whatever else there is beside it."""
    other = "{prometheusAlerts+:: {groups+: [{name: 'other'}]}}"
    fields = ("grafanaDashboards", "prometheusAlerts", "prometheusRules")
    wanted = ", ".join(f"{field}: all.{field}" for field in fields)
    code = f"local all = {other} + (import 'mixin.libsonnet'); {{{wanted}}}"
    found = json.loads(_gojsonnet.evaluate_snippet(str(DASHBOARDS / "x.jsonnet"), code))
    assert found["grafanaDashboards"] == {f"qmp-{name}.json": BOARDS[name] for name in NAMES}
    alerts = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text())
    assert found["prometheusAlerts"]["groups"] == [{"name": "other"}, *alerts["groups"]]
    assert found["prometheusRules"] == yaml.safe_load((PROMETHEUS / "rules.yaml").read_text())


def test_readme() -> None:
    """The README counts the alerts, and shows a picture of each dashboard or names it."""
    text = (ROOT / "README.md").read_text() + (DASHBOARDS / "README.md").read_text()
    assert f"{len(ALERTS)} alerts for Prometheus" in " ".join(text.split())
    for name in NAMES:
        assert f"docs/images/dashboard-{name}.png" in text
        assert (ROOT / f"docs/images/dashboard-{name}.png").exists()


def test_provisioning() -> None:
    """The set-up puts the dashboards where Grafana looks, and the rules where Prometheus does."""
    services = yaml.safe_load((SETUP / "compose.yaml").read_text())["services"]
    mounts = {
        inside: (SETUP / outside).resolve()
        for service in ("grafana", "prometheus")
        for outside, inside in (one.split(":")[:2] for one in services[service]["volumes"])
    }
    provider = DASHBOARDS / "provisioning" / "dashboards.yaml"
    assert provider in mounts.values()
    (options,) = (one["options"] for one in yaml.safe_load(provider.read_text())["providers"])
    assert mounts[options["path"]] == GRAFANA
    folder = Path(yaml.safe_load((SETUP / "prometheus.yaml").read_text())["rule_files"][0]).parent
    for name in ("rules.yaml", "alerts.yaml"):
        assert mounts[str(folder / name)] == PROMETHEUS / name
