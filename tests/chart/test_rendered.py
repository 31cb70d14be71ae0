"""What Helm makes of the chart, for each file of its ci/."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import utils

from chart.rendering import (
    CI,
    NAMESPACE,
    RELEASE,
    WORKLOADS,
    Manifest,
    chart,
    ci,
    exporter,
    labels_match,
    made,
    objects,
    of_kind,
    only,
    pod,
    render,
)
from chart.restricted import breaches
from qmp_exporter.web.application import build


MONITORING: Final = json.loads((Path(__file__).parent / "data" / "monitoring.json").read_text())
KUBERNETES: Final = ("1.29", "1.33", "1.37")
ALL: Final = sorted(CI)
WORKING: Final = [name for name in ALL if name != "sidecar"]

# It reads its schemas, some of a megabyte, for each object.
utils.schema_contents = cache(utils.schema_contents)


def test_there_is_a_file_for_each_mode() -> None:
    """The files of ci/ have all modes among them, and what else is to be seen."""
    wanted = {"daemonset", "deployment", "everything", "tls", "otel", "sidecar"}
    assert wanted == CI.keys()
    assert {ci(name).get("mode", "daemonset") for name in CI} == {
        "daemonset",
        "deployment",
        "sidecar",
    }


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", ALL)
def test_kubernetes_takes_it(name: str, version: str) -> None:
    """Each object is to the letter of Kubernetes' schema, with no key that it does not know."""
    for found in made(name):
        if found["apiVersion"] != "monitoring.coreos.com/v1":
            kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.parametrize("name", ALL)
def test_the_operator_takes_it(name: str) -> None:
    """Each object of the Prometheus operator is to the letter of its schema."""
    for found in made(name):
        if found["apiVersion"] == "monitoring.coreos.com/v1":
            jsonschema.validate(found, MONITORING["schemas"][found["kind"]])


def test_the_operator_s_schema_refuses() -> None:
    """A key that the operator would drop is an error here."""
    found = only(made("everything"), "ServiceMonitor")
    found["spec"]["endpoints"][0]["intervall"] = "15s"
    with pytest.raises(jsonschema.ValidationError, match="intervall"):
        jsonschema.validate(found, MONITORING["schemas"]["ServiceMonitor"])


@pytest.mark.parametrize("name", ALL)
def test_names(name: str) -> None:
    """Each object has a name of its own, says its namespace, and has the labels of all."""
    found = made(name)
    named = [
        (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in found
    ]
    assert len(set(named)) == len(named)
    for one in found:
        if one["metadata"]["name"].endswith("-extra"):
            continue
        assert one["metadata"]["namespace"]
        labels = one["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == RELEASE
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["app.kubernetes.io/version"] == chart().metadata["appVersion"]
        assert labels["helm.sh/chart"] == f"qmp-exporter-{chart().version}"
        assert labels.items() >= ci(name).get("commonLabels", {}).items()
        assert all(len(value) <= 63 for value in labels.values())


def test_long_names() -> None:
    """The longest name of a release leaves names that Kubernetes takes."""
    long = "r" * 53
    values = {**ci("everything"), "nameOverride": "n" * 63}
    for found in render(values, long):
        assert len(found["metadata"]["name"]) <= 63
        assert all(len(value) <= 63 for value in found["metadata"].get("labels", {}).values())


def test_namespace_and_names_can_be_chosen() -> None:
    """The release's namespace and name hold unless the values say otherwise."""
    (plain,) = of_kind(made("daemonset"), "DaemonSet")
    assert plain["metadata"]["namespace"] == NAMESPACE
    assert plain["metadata"]["name"] == f"{RELEASE}-qmp-exporter"
    chosen = only(render({"fullnameOverride": "qmp", "namespaceOverride": "ns"}), "DaemonSet")
    assert chosen["metadata"]["namespace"] == "ns"
    assert chosen["metadata"]["name"] == "qmp"
    assert only(render({}, "qmp-exporter"), "DaemonSet")["metadata"]["name"] == "qmp-exporter"


@pytest.mark.parametrize("name", WORKING)
def test_selectors(name: str) -> None:
    """Selectors never change: name and release alone; and they select our pods and no others."""
    found = made(name)
    workload = only(found, *WORKLOADS)
    selector = workload["spec"]["selector"]["matchLabels"]
    assert selector.keys() == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}
    (tester,) = of_kind(found, "Pod")
    for one in found:
        spec = one.get("spec", {})
        chosen = spec.get("podSelector", spec.get("selector", {}))
        if one["kind"] == "Service":
            chosen = {"matchLabels": chosen}
        if one["kind"] == "ServiceMonitor":
            assert labels_match(chosen["matchLabels"], only(found, "Service")["metadata"]["labels"])
        elif chosen:
            assert chosen["matchLabels"] == selector
            assert labels_match(selector, pod(found)["metadata"]["labels"])
            assert not labels_match(selector, tester["metadata"]["labels"])


def test_labels_of_values_do_not_break_selectors() -> None:
    """What is given as labels cannot change those that selectors rely on."""
    own = {"app.kubernetes.io/name": "other", "app.kubernetes.io/instance": "other"}
    found = render({"commonLabels": own, "podLabels": own, "service": {"labels": own}})
    selector = only(found, "Service")["spec"]["selector"]
    assert labels_match(selector, pod(found)["metadata"]["labels"])


@pytest.mark.parametrize("name", WORKING)
def test_ports(name: str) -> None:
    """Service, monitors, probes and NetworkPolicy name a port that the container has."""
    found = made(name)
    container = exporter(pod(found))
    (port,) = container["ports"]
    service = only(found, "Service")
    assert [one["targetPort"] for one in service["spec"]["ports"]] == [port["name"]]
    for monitor in of_kind(found, "PodMonitor", "ServiceMonitor"):
        spec = monitor["spec"]
        assert spec["namespaceSelector"] == {"matchNames": [service["metadata"]["namespace"]]}
        (endpoint,) = spec.get("podMetricsEndpoints") or spec["endpoints"]
        where = service["spec"]["ports"] if "endpoints" in spec else container["ports"]
        assert endpoint["port"] in {one["name"] for one in where}
    for policy in of_kind(found, "NetworkPolicy"):
        (rule,) = policy["spec"]["ingress"]
        assert [one["port"] for one in rule["ports"]] == [port["name"]]
    assert f"--web.listen-address=:{port['containerPort']}" in container["args"]


def routes() -> set[str]:
    """Return the paths that the exporter serves."""
    nothing: Any = lambda: None  # noqa: E731
    app = build(
        render=nothing,
        overview=nothing,
        config=nothing,
        reload=nothing,
        ready=nothing,
        healthy=nothing,
    )
    return {resource.canonical for resource in app.router.resources()}


@pytest.mark.parametrize("name", WORKING)
def test_probes(name: str) -> None:
    """Probes ask what the exporter serves; over TLS where it has TLS, or look at the port only."""
    found, values = made(name), ci(name)
    container = exporter(pod(found))
    probes = {kind: container[f"{kind}Probe"] for kind in ("liveness", "readiness")}
    if values.get("probes", {}).get("tcp"):
        assert all(probe["tcpSocket"] == {"port": "qmp-metrics"} for probe in probes.values())
        return
    paths = {kind: probe["httpGet"]["path"] for kind, probe in probes.items()}
    assert paths == {"liveness": "/-/healthy", "readiness": "/-/ready"}
    assert set(paths.values()) <= routes()
    for probe in probes.values():
        assert probe["httpGet"]["port"] == "qmp-metrics"
        assert probe["httpGet"]["scheme"] == "HTTP"


def test_probes_over_tls() -> None:
    """With TLS, probes and monitors use HTTPS, with the headers that are given."""
    header = {"name": "Authorization", "value": "Basic eDp5"}
    values = {
        "webConfig": {"existingSecret": "web", "tls": True},
        "probes": {"httpHeaders": [header]},
        "podMonitor": {"enabled": True},
    }
    found = render(values)
    for kind in ("liveness", "readiness"):
        asked = exporter(pod(found))[f"{kind}Probe"]["httpGet"]
        assert (asked["scheme"], asked["httpHeaders"]) == ("HTTPS", [header])
    (endpoint,) = only(found, "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint["scheme"] == "https"
    assert only(found, "Pod")["spec"]["containers"][0]["command"][3].startswith("https://")


def test_path_of_the_metrics() -> None:
    """Monitors and the test pod look where the configuration file puts the metrics."""
    values = {"config": {"web": {"telemetry_path": "/m"}}, "podMonitor": {"enabled": True}}
    found = render(values)
    (endpoint,) = only(found, "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint["path"] == "/m"
    assert only(found, "Pod")["spec"]["containers"][0]["command"][4] == "/m"
    (plain,) = only(made("deployment"), "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert plain["path"] in routes()


@pytest.mark.parametrize("name", WORKING)
def test_restricted(name: str) -> None:
    """Pods are of the profile restricted, but for the directories of the node that they are for."""
    found = made(name)
    allowed = {"volume hostPath"} if only(found, *WORKLOADS)["kind"] == "DaemonSet" else set()
    assert set(breaches(pod(found)["spec"])) == allowed
    assert set(breaches(only(found, "Pod")["spec"])) == set()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("privileged", True),
        ("allowPrivilegeEscalation", True),
        ("runAsNonRoot", False),
        ("runAsUser", 0),
        ("capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        ("capabilities", {}),
        ("seccompProfile", {"type": "Unconfined"}),
        ("procMount", "Unmasked"),
    ],
)
def test_what_is_not_restricted_is_found(key: str, value: object) -> None:
    """The checks of the profile see each breach."""
    spec = copy.deepcopy(pod(made("deployment"))["spec"])
    spec["containers"][0]["securityContext"][key] = value
    assert [one.split(": ")[1].partition(".")[0] for one in breaches(spec)] == [key]


@pytest.mark.parametrize("name", WORKING)
def test_least_rights(name: str) -> None:
    """No token, no variables of Services, nothing writable of its own, and no default resources."""
    spec = pod(made(name))["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    container = exporter(pod(made(name)))
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container.get("resources") == ci(name).get("resources")
    account = only(made(name), "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == account["metadata"]["name"]


def test_directories_of_the_node() -> None:
    """They are mounted for reading, enough to connect, and for writing where something listens."""
    (mount,) = exporter(pod(made("daemonset")))["volumeMounts"]
    assert (mount["mountPath"], mount["readOnly"]) == ("/run/qemu", True)
    everything = exporter(pod(made("everything")))
    paths = {one["mountPath"]: one for one in everything["volumeMounts"]}
    assert paths["/run/qmp-exporter"]["readOnly"] is False
    sockets = [one for one in everything["args"] if one.startswith("--qmp.socket=")]
    assert sockets == ["--qmp.socket=/run/qemu/*.qmp", "--qmp.socket=/vms/**/*.qmp"]
    assert not any(one["name"].startswith("sockets") for one in _volumes("deployment"))


def _volumes(name: str) -> list[Manifest]:
    return list(pod(made(name))["spec"].get("volumes", []))


@pytest.mark.parametrize("name", WORKING)
def test_mounts_have_volumes(name: str) -> None:
    """Every mount is of a volume, every volume is mounted, and no path twice."""
    mounts = exporter(pod(made(name))).get("volumeMounts", [])
    assert {one["name"] for one in mounts} == {one["name"] for one in _volumes(name)}
    assert len({one["mountPath"] for one in mounts}) == len(mounts)


def test_one_exporter_at_a_time() -> None:
    """A monitor serves one client, so the old pod ends before the new one begins."""
    spec = only(made("deployment"), "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_a_new_configuration_is_a_new_pod() -> None:
    """The pod's annotation changes with the configuration file, and only with it."""
    notes = [
        pod(render({"config": {"log": {"level": level}}}))["metadata"]["annotations"]
        for level in ("debug", "debug", "warn")
    ]
    assert notes[0] == notes[1] != notes[2]
    assert "annotations" not in pod(made("daemonset"))["metadata"]


def test_image() -> None:
    """The tag is that of the release, unless there is a tag or a digest."""
    plain = exporter(pod(made("daemonset")))["image"]
    assert plain == f"ghcr.io/qmp-exporter/qmp-exporter:{chart().metadata['appVersion']}"
    image = {"registry": "", "repository": "mine", "tag": "x"}
    assert exporter(pod(render({"image": image})))["image"] == "mine:x"
    digest = "sha256:" + "0" * 64
    found = exporter(pod(render({"image": {**image, "digest": digest}})))["image"]
    assert found == f"mine@{digest}"


def test_sidecar_mode_makes_no_pod() -> None:
    """In mode sidecar there is what belongs to sidecars, and nothing that runs."""
    kinds = {one["kind"] for one in made("sidecar")}
    assert kinds == {"ConfigMap", "PodMonitor", "PrometheusRule"}
    chosen = only(made("sidecar"), "PodMonitor")["spec"]["selector"]
    assert chosen == {"matchLabels": {"qmp-exporter/sidecar": "true"}}


def test_tester_is_let_in() -> None:
    """Where a NetworkPolicy says who may ask, the pod of `helm test` may, too."""
    found = made("everything")
    (rule,) = only(found, "NetworkPolicy")["spec"]["ingress"]
    peers = [one["podSelector"]["matchLabels"] for one in rule["from"] if "podSelector" in one]
    assert any(labels_match(one, only(found, "Pod")["metadata"]["labels"]) for one in peers)


@pytest.mark.parametrize("name", ALL)
def test_notes(name: str) -> None:
    """The notes say what to do next, with the names of this release."""
    rendered = chart().render(ci(name), name=RELEASE, namespace=NAMESPACE)
    notes = next(text for path, text in rendered.items() if path.endswith("NOTES.txt"))
    where = ci(name).get("namespaceOverride", NAMESPACE)
    assert f"kubectl --namespace {where} port-forward " in notes
    assert "<no value>" not in notes
    if name == "sidecar":
        assert '- {{ include "qmp-exporter.sidecar.native" . | nindent 8 | trim }}' in notes
    else:
        workload = only(objects(rendered), *WORKLOADS)
        assert f"{workload['kind'].lower()}/{workload['metadata']['name']} " in notes


def test_extra_objects() -> None:
    """Texts in further objects are templates; elsewhere `{{vm}}` stays what it is."""
    found = [one for one in made("everything") if one["metadata"]["name"].endswith("-extra")]
    assert [one["data"] for one in found] == [{"release": RELEASE}]
    kept = render({"podAnnotations": {"x": "{{vm}}"}})
    assert pod(kept)["metadata"]["annotations"] == {"x": "{{vm}}"}


def test_config_is_what_was_given() -> None:
    """The configuration file has what the values have, to the number and the quote."""
    for name in ("everything", "otel", "sidecar"):
        maps = [one for one in made(name) if "config.yml" in one.get("data", {})]
        (found,) = maps
        assert yaml.safe_load(found["data"]["config.yml"]) == ci(name)["config"]
