"""The set-up of deploy/otel: its files can be read, and the names in them fit one another."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from qmp_exporter.catalog.metrics import ALL_VM_METRICS
from qmp_exporter.config.settings import DEFAULT_ADDRESS
from support import require_tool


ROOT = Path(__file__).parents[2]
SETUP = ROOT / "deploy/otel"
FILES = sorted(path.name for path in SETUP.glob("*.yaml"))


def read(name: str) -> Any:
    """Return what is in a file."""
    return yaml.safe_load((SETUP / name).read_text())


def services() -> dict[str, Any]:
    """Return what compose starts."""
    found: dict[str, Any] = read("compose.yaml")["services"]
    return found


LISTENS = {
    "collector": {4317, 4318},
    "tempo": {3200, 4317},
    "loki": {3100},
    "prometheus": {9090},
    "grafana": {3000},
}
"""The ports that each has, by its file or by default."""


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_yaml_with_something_in_it(name: str) -> None:
    """And the page names it."""
    assert isinstance(read(name), dict)
    assert f"../deploy/otel/{name}" in (ROOT / "docs/tracing.md").read_text()


def test_compose_mounts_the_files_that_there_are() -> None:
    """Each but its own, at the place that the service is told to read."""
    assert services().keys() == LISTENS.keys()
    mounted = [
        volume.split(":")
        for service in services().values()
        for volume in service.get("volumes", ())
        if volume.startswith("./")
    ]
    assert {source.removeprefix("./") for source, *_ in mounted} == {*FILES} - {"compose.yaml"}
    told = str([service.get("command") for service in services().values()])
    assert all(there in told or "provisioning" in there for _, there, _ in mounted)


def test_nothing_is_published_beyond_this_host() -> None:
    """As nothing in it asks for a password."""
    ports = [port for service in services().values() for port in service.get("ports", ())]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_all_speak_to_what_listens() -> None:
    """The Collector, Grafana and their ports."""
    assert int(read("tempo.yaml")["server"]["http_listen_port"]) in LISTENS["tempo"]
    assert int(read("loki.yaml")["server"]["http_listen_port"]) in LISTENS["loki"]
    exporters = read("collector.yaml")["exporters"].values()
    sources = read("datasources.yaml")["datasources"]
    places = [one["endpoint"] for one in exporters] + [one["url"] for one in sources]
    for place in places:
        found = urlsplit(place if "//" in place else f"//{place}")
        assert found.port in LISTENS[found.hostname or ""], place


def test_the_pipelines_of_the_collector_have_what_they_name() -> None:
    """And there is nothing that no pipeline has."""
    config = read("collector.yaml")
    pipelines = config["service"]["pipelines"]
    assert pipelines.keys() == {"traces", "logs", "metrics"}
    for kind in ("receivers", "processors", "exporters"):
        assert {name for one in pipelines.values() for name in one[kind]} == config[kind].keys()


def test_grafana_leads_from_each_to_the_others() -> None:
    """By the names that the exporter gives: of exemplars, of resources, of metrics."""
    sources = {one["uid"]: one for one in read("datasources.yaml")["datasources"]}
    named = re.findall(r"datasourceUid: (\w+)", (SETUP / "datasources.yaml").read_text())
    assert set(named) == sources.keys() == {"prometheus", "tempo", "loki"}
    (exemplars,) = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert exemplars == {"name": "trace_id", "datasourceUid": "tempo"}
    indexed = read("loki.yaml")["limits_config"]["otlp_config"]["resource_attributes"]
    (labels,) = indexed["attributes_config"]
    assert "qemu.vm" in labels["attributes"]
    logs = sources["tempo"]["jsonData"]["tracesToLogsV2"]
    assert logs["tags"] == [{"key": "qemu.vm", "value": "qemu_vm"}]
    (query,) = sources["tempo"]["jsonData"]["tracesToMetrics"]["queries"]
    metrics = {metric.name for metric in ALL_VM_METRICS}
    assert set(re.findall(r"qemu_\w+", query["query"])) <= metrics


def test_prometheus_takes_its_file() -> None:
    """By promtool; it scrapes the exporter at its default port, and keeps exemplars."""
    promtool = require_tool("promtool")
    path = SETUP / "prometheus.yaml"
    subprocess.run([promtool, "check", "config", path], check=True, capture_output=True)
    (job,) = read("prometheus.yaml")["scrape_configs"]
    assert job["static_configs"][0]["targets"] == [f"host.docker.internal{DEFAULT_ADDRESS}"]
    assert "--enable-feature=exemplar-storage" in services()["prometheus"]["command"]
