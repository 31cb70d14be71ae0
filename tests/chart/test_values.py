"""Values: what is refused and how, what is documented, and what is made of other files."""

from __future__ import annotations

import json
import re
from typing import Any

import helm_python
import pytest
import yaml

from chart.rendering import CHART, CI, chart, ci, render
from helm import build
from qmp_exporter import __version__


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("a key that is unknown", {"modus": "daemonset"}, "modus"),
    ("one further down", {"image": {"name": "x"}}, "name"),
    (
        "one of a directory",
        {"sockets": {"hostPaths": [{"path": "/a", "rw": True}]}},
        "/sockets/hostPaths/0",
    ),
    ("no such mode", {"mode": "statefulset"}, "/mode"),
    ("a port that is none", {"port": 70000}, "/port"),
    ("a port as a text", {"port": "10767"}, "/port"),
    ("a text as a switch", {"podMonitor": {"enabled": "yes"}}, "/podMonitor/enabled"),
    (
        "an interval without a unit",
        {"serviceMonitor": {"interval": "15"}},
        "/serviceMonitor/interval",
    ),
    ("no such scheme", {"podMonitor": {"scheme": "ftp"}}, "/podMonitor/scheme"),
    ("a digest that is none", {"image": {"digest": "abc"}}, "/image/digest"),
    ("no such policy", {"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    (
        "a path that is relative",
        {"sockets": {"hostPaths": [{"path": "run"}]}},
        "/sockets/hostPaths/0/path",
    ),
    ("a name in capitals", {"fullnameOverride": "QMP"}, "/fullnameOverride"),
    ("a label that is a number", {"commonLabels": {"a": 1}}, "/commonLabels/a"),
    ("an argument that is no flag", {"extraArgs": ["x"]}, "/extraArgs/0"),
    ("a variable without a name", {"extraEnv": [{"value": "x"}]}, "/extraEnv/0"),
    ("no such protocol", {"otel": {"protocol": "http/json"}}, "/otel/protocol"),
    (
        "an attribute that is a number",
        {"otel": {"resourceAttributes": {"a": 1}}},
        "/otel/resourceAttributes/a",
    ),
    ("a timing that is unknown", {"livenessProbe": {"period": 1}}, "/livenessProbe"),
    (
        "more pods than there are",
        {"podDisruptionBudget": {"maxUnavailable": 2}},
        "/podDisruptionBudget/maxUnavailable",
    ),
    (
        "half a reference",
        {"podMonitor": {"basicAuth": {"username": {"name": "x"}}}},
        "/podMonitor/basicAuth/username",
    ),
    ("an unknown key of the file", {"config": {"vm": {"grase": "5m"}}}, "/config/vm"),
    ("a wrong value of the file", {"config": {"log": {"format": "xml"}}}, "/config/log/format"),
    ("an address in the file", {"config": {"web": {"listen_address": ":1"}}}, "/config/web"),
    ("nothing to watch", {"mode": "deployment"}, "sockets.paths"),
    ("no directory", {"sockets": {"hostPaths": []}}, "sockets.hostPaths"),
    (
        "monitors in two places",
        {"sockets": {"paths": ["/a"]}, "config": {"qmp": {"socket": "/b"}}},
        "sockets.paths",
    ),
    ("TLS without a file", {"webConfig": {"tls": True}}, "webConfig.existingSecret"),
    (
        "a budget of a DaemonSet",
        {"podDisruptionBudget": {"enabled": True}},
        "podDisruptionBudget.enabled",
    ),
    (
        "a policy for pods of others",
        {"mode": "sidecar", "networkPolicy": {"enabled": True}},
        "networkPolicy.enabled",
    ),
    (
        "a Service of no pods",
        {"mode": "sidecar", "serviceMonitor": {"enabled": True}},
        "serviceMonitor.enabled",
    ),
    (
        "a monitor of no Service",
        {"service": {"enabled": False}, "serviceMonitor": {"enabled": True}},
        "serviceMonitor.enabled",
    ),
    (
        "two monitors",
        {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}},
        "podMonitor.enabled",
    ),
    (
        "no such alert",
        {"prometheusRule": {"enabled": True, "disabled": ["Nothing"]}},
        "prometheusRule.disabled",
    ),
]


@pytest.mark.parametrize(("values", "key"), [(v, k) for _, v, k in BAD], ids=[n for n, _, _ in BAD])
def test_refused(values: dict[str, Any], key: str) -> None:
    """A value that is wrong is refused, and the message names its key."""
    with pytest.raises(helm_python.HelmError, match=re.escape(key)):
        render(values)


@pytest.mark.parametrize("name", sorted(CI))
def test_lint(name: str) -> None:
    """Helm's own check has nothing to say but that there is no icon."""
    report = helm_python.lint(CHART, ci(name), strict=True, namespace="vms", kube_version="v1.29.0")
    assert report["errors"] == []
    assert [one["error"] for one in report["messages"]] == ["icon is recommended"]


def test_current() -> None:
    """README, copies and schema are what scripts/chart --write writes."""
    stale = [str(path) for path, text in build.files() if path.read_text() != text]
    assert stale == []


def test_every_value_is_documented() -> None:
    """Each value is in the README with its default, and one without a comment is an error."""
    text = (CHART / "README.md").read_text()
    found = list(build.values((CHART / "values.yaml").read_text()))
    assert len(found) > 100
    for path, default, said in found:
        assert f"| `{path}` | `{json.dumps(default, sort_keys=True)}` | " in text
        assert said[0].isupper() or said[0] == "`", path
        assert said.endswith("."), path
    with pytest.raises(build.UndocumentedError, match="b has no comment"):
        list(build.values("# A.\na: 1\nb: 2\n"))


def keys(schema: dict[str, Any], top: dict[str, Any], above: str = "") -> set[str]:
    """Return the paths of all values that a schema of ours knows."""
    found = set()
    for key, inner in schema.get("properties", {}).items():
        path = f"{above}{key}"
        found |= keys(inner, top, f"{path}.") or {path}
    return found


def test_schema_knows_the_values() -> None:
    """Schema and values.yaml have the same keys: nothing is taken that is told nowhere."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    told = {path for path, _, _ in build.values((CHART / "values.yaml").read_text())}
    known = keys(schema, schema)
    for path in {one for one in known if one.rpartition(".")[0] in told}:
        known = known - {path} | {path.rpartition(".")[0]}
    assert known - {"global"} == told


def test_schema_is_strict() -> None:
    """Every object of the schema that is ours takes the keys that it names, and no others."""

    def walk(found: Any, path: str) -> None:
        if isinstance(found, dict):
            if "properties" in found and found.get("type") == "object":
                assert found["additionalProperties"] is False, path
            for key, value in found.items():
                walk(value, f"{path}/{key}")
        elif isinstance(found, list):
            for number, value in enumerate(found):
                walk(value, f"{path}/{number}")

    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    walk(schema, "")


def test_chart() -> None:
    """The chart is of this version of the exporter, and says which Kubernetes it takes."""
    found = chart().metadata
    assert found["apiVersion"] == "v2"
    assert found["appVersion"] == __version__
    assert found["kubeVersion"] == ">=1.29.0-0"
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["version"])
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["maintainers"]


def test_package(tmp_path: Any) -> None:
    """Helm packs the chart, with the files that templates read, and without those for tests."""
    packed = helm_python.Chart.load(helm_python.package(CHART, destination=tmp_path))
    names = {one["name"] for one in packed.files}
    assert {"files/rules.yaml", "files/alerts.yaml", "files/answers.py", "README.md"} <= names
    assert not any(name.startswith("ci/") for name in names)
