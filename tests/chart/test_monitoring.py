"""Rules and dashboards of the chart are those of dashboards/."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from chart.rendering import CHART, ROOT, chart, ci, made, only, render
from support import require_tool


if TYPE_CHECKING:
    from pathlib import Path


GRAFANA: Final = ROOT / "dashboards" / "grafana"
PROMETHEUS: Final = ROOT / "dashboards" / "prometheus"
LARGEST: Final = 1 << 20
"""Bytes of a Secret, in which Helm keeps a release, and of a ConfigMap."""


def groups(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the groups of the only PrometheusRule."""
    rules: list[dict[str, Any]] = only(found, "PrometheusRule")["spec"]["groups"]
    return rules


def test_copies() -> None:
    """The copies in the chart are byte for byte those of dashboards/, and all of them."""
    boards = CHART / "files" / "dashboards"
    assert {path.name for path in boards.iterdir()} == {path.name for path in GRAFANA.iterdir()}
    for path in boards.iterdir():
        assert path.read_bytes() == (GRAFANA / path.name).read_bytes()
    for name in ("rules.yaml", "alerts.yaml"):
        assert (CHART / "files" / name).read_bytes() == (PROMETHEUS / name).read_bytes()


def test_dashboards() -> None:
    """Each dashboard is in a ConfigMap of its own, byte for byte, with the label of Grafana."""
    maps = [one for one in made("sidecar") if "grafana_dashboard" in one["metadata"]["labels"]]
    shown = {}
    for one in maps:
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
        ((name, text),) = one["data"].items()
        assert one["metadata"]["name"].endswith(name.removeprefix("qmp").removesuffix(".json"))
        assert len(text) < LARGEST
        shown[name.removeprefix("qmp-")] = text.encode()
    assert shown == {path.name: path.read_bytes() for path in GRAFANA.iterdir()}


def test_dashboards_elsewhere() -> None:
    """Namespace, label, further labels and annotations can be chosen."""
    maps = [one for one in made("everything") if one["metadata"].get("namespace") == "grafana"]
    assert len(maps) == len(list(GRAFANA.iterdir()))
    for one in maps:
        assert one["metadata"]["annotations"] == {"grafana_folder": "QEMU"}
    found = render({"dashboards": {"enabled": True, "label": "board", "labelValue": "yes"}})
    chosen = [one for one in found if one["metadata"]["labels"].get("board") == "yes"]
    assert len(chosen) == len(maps)


def test_rules() -> None:
    """The PrometheusRule has all rules and alerts, as they are."""
    wanted = [
        group
        for name in ("rules.yaml", "alerts.yaml")
        for group in yaml.safe_load((PROMETHEUS / name).read_text())["groups"]
    ]
    assert groups(made("sidecar")) == wanted


def test_alerts_can_be_left_out() -> None:
    """An alert that is disabled is not there, all others are, and groups can be added."""
    everything = {rule.get("alert") for group in groups(made("sidecar")) for rule in group["rules"]}
    less = groups(made("everything"))
    found = {rule.get("alert") for group in less for rule in group["rules"]}
    assert found == everything - {"QmpExporterAbsent"} | {"QemuNone"}
    assert all(group["rules"] for group in less)


@pytest.mark.parametrize("name", ["sidecar", "everything"])
def test_prometheus_takes_the_rules(name: str, tmp_path: Path) -> None:
    """Prometheus's own check finds nothing wrong with what is in the PrometheusRule."""
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": groups(made(name))}))
    command = [require_tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_of_it_by_default() -> None:
    """What needs the Prometheus operator or Grafana is there only if asked for."""
    kinds = {one["kind"] for one in made("daemonset")}
    assert kinds == {"DaemonSet", "Service", "ServiceAccount", "Pod"}


def test_monitors_select_what_prometheus_selects() -> None:
    """Labels by which Prometheus selects monitors and rules are on them, and nowhere else."""
    for one in made("everything"):
        labels = one["metadata"].get("labels", {})
        asked = one["kind"] in ("ServiceMonitor", "PrometheusRule")
        assert (labels.get("release") == "kube-prometheus-stack") == asked


def test_fields_of_monitors() -> None:
    """Every field of the values is in both monitors as it was given."""
    fields = {
        "interval": "15s",
        "scrapeTimeout": "10s",
        "scheme": "https",
        "tlsConfig": {"insecureSkipVerify": True},
        "basicAuth": {key: {"name": "s", "key": key} for key in ("username", "password")},
        "relabelings": [{"targetLabel": "a", "replacement": "b"}],
        "metricRelabelings": [{"action": "labeldrop", "regex": "x"}],
        "honorLabels": True,
    }
    for key, where in (("podMonitor", "podMetricsEndpoints"), ("serviceMonitor", "endpoints")):
        found = render({key: {"enabled": True, **fields, "sampleLimit": 5000}})
        spec = only(found, key[0].upper() + key[1:])["spec"]
        assert spec["sampleLimit"] == 5000
        assert spec[where] == [{**fields, "port": "qmp-metrics", "path": "/metrics"}]


def test_a_release_fits() -> None:
    """Helm keeps chart and objects in a Secret, which has room for a megabyte, packed."""
    rendered = chart().render(ci("everything"), name="x", namespace="x")
    files = [path.read_bytes() for path in CHART.rglob("*") if path.is_file()]
    release = {"manifest": rendered, "chart": [base64.b64encode(one).decode() for one in files]}
    packed = base64.b64encode(gzip.compress(json.dumps(release).encode()))
    assert len(packed) < LARGEST / 2
