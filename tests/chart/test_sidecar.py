"""The sidecar in another's chart, and its pod acted out with a real QEMU."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import helm_python
import kubernetes_validate
import pytest

from apart.program import program
from chart.rendering import (
    CHART,
    NAMESPACE,
    Manifest,
    exporter,
    objects,
    of_kind,
    only,
    pod,
    render,
)
from chart.restricted import breaches
from qmp_exporter.demo import Machine
from qmp_exporter.demo.command import find_qemu
from support import missing


if TYPE_CHECKING:
    from collections.abc import Iterator


BOTH = pytest.mark.parametrize("native", [True, False], ids=["native", "plain"])


def rendered(chart: Any, native: bool = True, **values: Any) -> list[Manifest]:  # noqa: FBT001, FBT002
    """Return what the example makes; ``values`` are those of the dependency."""
    given = {"nativeSidecar": native, "qmp-exporter": values}
    return objects(chart.render(given, name="web", namespace=NAMESPACE))


@BOTH
def test_kubernetes_takes_the_example(example: Any, native: bool) -> None:  # noqa: FBT001
    """The example is to the letter of Kubernetes' schema, and of the profile restricted."""
    found = rendered(example, native, config={"log": {"events": True}})
    for version in ("1.29", "1.33", "1.37"):
        for one in found:
            kubernetes_validate.validate(one, version, strict=True)
    assert list(breaches(pod(found)["spec"])) == []


@BOTH
def test_where_the_sidecar_goes(example: Any, native: bool) -> None:  # noqa: FBT001
    """A native sidecar is an init container that goes on; a plain one is a container."""
    spec = pod(rendered(example, native))["spec"]
    first = [one["name"] for one in spec.get("initContainers", ())]
    others = [one["name"] for one in spec["containers"]]
    assert (first, others) == (
        (["qmp-exporter"], ["qemu"]) if native else ([], ["qemu", "qmp-exporter"])
    )
    assert exporter({"spec": spec}).get("restartPolicy") == ("Always" if native else None)


def test_one_template_makes_all(example: Any) -> None:
    """The sidecar is the container of the other modes: only where its sockets are differs."""
    values = {"port": 9000, "resources": {"limits": {"memory": "64Mi"}}}
    beside = exporter(pod(rendered(example, **values)))
    other = {"mode": "deployment", "sockets": {"paths": ["/x"]}}
    alone = exporter(pod(render({**values, **other})))
    assert beside.pop("args") == ["--qmp.socket=/run/qmp/*.qmp", "--web.listen-address=:9000"]
    assert alone.pop("args") == ["--qmp.socket=/x", "--web.listen-address=:9000"]
    assert beside.pop("restartPolicy") == "Always"
    assert beside.pop("volumeMounts") == [
        {"name": "qmp", "mountPath": "/run/qmp", "readOnly": True}
    ]
    assert beside == alone


def test_the_example_makes_nothing_else(example: Any) -> None:
    """As a dependency in mode sidecar, the chart adds no workload of its own."""
    assert [one["kind"] for one in rendered(example)] == ["StatefulSet"]


def test_the_monitor_finds_the_pod(example: Any) -> None:
    """A PodMonitor of the same release selects the pod by its labels, and names its port."""
    found = rendered(example, podMonitor={"enabled": True})
    spec = only(found, "PodMonitor")["spec"]
    assert spec["selector"]["matchLabels"].items() <= pod(found)["metadata"]["labels"].items()
    assert spec["namespaceSelector"] == {"matchNames": [NAMESPACE]}
    assert spec["jobLabel"] in pod(found)["metadata"]["labels"]
    (port,) = exporter(pod(found))["ports"]
    assert [one["port"] for one in spec["podMetricsEndpoints"]] == [port["name"]]


def test_values_of_all_charts(example: Any) -> None:
    """Values that your chart has for all its dependencies (`global`) are no error here."""
    given = {"global": {"registry": "x"}}
    assert objects(example.render(given, name="web", namespace=NAMESPACE)) == rendered(example)


def test_files_of_the_sidecar(example: Any) -> None:
    """Its configuration file and web configuration are mounted, and change the pod with them."""
    values = {"config": {"log": {"events": True}}, "webConfig": {"existingSecret": "web"}}
    found = rendered(example, **values)
    volumes = {one["name"]: one for one in pod(found)["spec"]["volumes"]}
    assert volumes.keys() == {one["name"] for one in exporter(pod(found))["volumeMounts"]}
    (made,) = of_kind(found, "ConfigMap")
    assert volumes["qmp-exporter-config"]["configMap"]["name"] == made["metadata"]["name"]
    assert list(pod(found)["metadata"]["annotations"]) == ["checksum/qmp-exporter-config"]


def test_mounts_are_the_same_place(example: Any) -> None:
    """QEMU makes its socket where the exporter looks: one volume, at one path."""
    found = pod(rendered(example))
    (qemu,) = (one for one in found["spec"]["containers"] if one["name"] == "qemu")
    ours, theirs = exporter(found)["volumeMounts"][0], qemu["volumeMounts"][0]
    assert (ours["name"], ours["mountPath"]) == (theirs["name"], theirs["mountPath"])
    assert monitor(qemu).startswith(f"unix:{theirs['mountPath']}/")


def test_another_name_of_the_dependency(tmp_path: Path) -> None:
    """Under an alias the template takes the dependency's scope, and says so otherwise."""
    shutil.copytree(CHART.parent, tmp_path / "helm")
    path = tmp_path / "helm" / "examples" / "qemu-pod"
    for name in ("Chart.yaml", "values.yaml"):
        text = (path / name).read_text()
        text = text.replace(
            "version: 0.1.0\n    rep", "version: 0.1.0\n    alias: watcher\n    rep"
        )
        (path / name).write_text(text.replace("\nqmp-exporter:", "\nwatcher:"))
    helm_python.dependency_update(path, skip_refresh=True)
    with pytest.raises(helm_python.HelmRenderError, match=r"index \.Subcharts"):
        objects(helm_python.Chart.load(path).render(None, name="web", namespace=NAMESPACE))
    template = path / "templates" / "statefulset.yaml"
    text = template.read_text()
    for name in ("sidecar.native", "sidecar.volumes", "sidecar.annotations"):
        text = text.replace(f'"qmp-exporter.{name}" .', f'"qmp-exporter.{name}" .Subcharts.watcher')
    template.write_text(text)
    found = objects(helm_python.Chart.load(path).render(None, name="web", namespace=NAMESPACE))
    assert "--qmp.socket=/run/qmp/*.qmp" in exporter(pod(found))["args"]


def monitor(container: Manifest) -> str:
    """Return what follows ``-qmp`` in QEMU's arguments."""
    return str(container["args"][container["args"].index("-qmp") + 1])


@pytest.fixture
def volume() -> Iterator[Path]:
    """A folder in place of the emptyDir, for everybody as that is; short, as paths of sockets."""
    with tempfile.TemporaryDirectory(prefix="qmp") as name:
        Path(name).chmod(0o777)
        yield Path(name)


def user_of(found: Manifest, container: Manifest) -> list[str]:
    """Return the command that starts another as a container's user; none without the right to.

    Nor is there one where that user may not read this Python, as in the home of root.
    """
    context = {**found["spec"]["securityContext"], **container["securityContext"]}
    user, group = context["runAsUser"], context["runAsGroup"]
    command = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"]
    tried = subprocess.run([*command, sys.executable, "-c", ""], capture_output=True, check=False)
    return command if tried.returncode == 0 else []


def user(pid: int) -> int:
    """Return the user that a process runs as."""
    return Path(f"/proc/{pid}").stat().st_uid


def started_by(command: list[str], program: str, path: Path) -> str:
    """Write a program that starts another by a command; return its path."""
    path.write_text(f'#!/bin/sh\nexec {shlex.join([*command, program])} "$@"\n')
    path.chmod(0o755)
    return str(path)


async def status(url: str) -> int:
    """Ask for something, and return the answer's status."""
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        return answer.status


@BOTH
async def test_acted_out(
    example: Any,
    native: bool,  # noqa: FBT001
    volume: Path,
    tmp_path: Path,
) -> None:
    """The pod's exporter, with its user and arguments, shows the pod's QEMU, with its own."""
    binary = find_qemu() or missing("qemu-system-x86_64 is not installed")
    found = pod(rendered(example, native))
    container = exporter(found)
    (qemu,) = (one for one in found["spec"]["containers"] if one["name"] == "qemu")
    (mount,) = container["volumeMounts"]

    def inside(text: str) -> str:
        return text.replace(mount["mountPath"], str(volume))

    assert "command" not in container, "the image's entry point is the exporter"
    listens = [one for one in container["args"] if one.startswith("--web.listen-address=")]
    assert listens == [f"--web.listen-address=:{container['ports'][0]['containerPort']}"]
    # The helper chooses a port that is free.
    arguments = [inside(one) for one in container["args"] if one not in listens]
    name = qemu["args"][qemu["args"].index("-name") + 1]
    by = user_of(found, container)
    wrapped = started_by(user_of(found, qemu), binary, tmp_path / "qemu")
    async with program(tmp_path / "log", *arguments, by=by) as running:
        wanted = found["spec"]["securityContext"]["runAsUser"] if by else os.geteuid()
        assert user(running.child.pid) == wanted
        for probe in ("livenessProbe", "readinessProbe"):
            path = container[probe]["httpGet"]["path"]
            assert await status(f"{running.url}{path}") == 200, "before there is a QEMU"
        async with Machine(volume, name, monitor=inside(monitor(qemu)), binary=wrapped) as machine:
            assert user(machine.pid) == wanted
            await running.reads(lambda page: page.value("qemu_up", vm=name) == 1)
            await machine.execute("stop")
            await running.reads(
                lambda page: page.value("qemu_events_total", vm=name, event="STOP") == 1
            )
            page = await running.page()
            assert page.value("qemu_vm_running", vm=name) == 0
