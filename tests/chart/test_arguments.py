"""The exporter takes what the chart gives it: arguments, variables and files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
import yaml

from chart.rendering import CI, ROOT, exporter, made, of_kind, only, pod, render
from qmp_exporter.config.otel import read_otel


if TYPE_CHECKING:
    from collections.abc import Mapping


NODE = "node-1"
WORKING = sorted(CI.keys() - {"sidecar"})
WEB = {
    "tls_server_config": {"cert_file": "tls.crt", "key_file": "tls.key"},
    "basic_auth_users": {"x": "$2b$10$66La2TqKMw5MZG2wWi4ij.xDSi13p5sKLavAlPBN2NtFKolLlkp16"},
}


def placed(arguments: list[str], folder: Path) -> list[str]:
    """Return arguments with their absolute paths in a folder instead."""
    return [one.replace("=/", f"={folder}/", 1) for one in arguments]


def checked(arguments: list[str], env: Mapping[str, str] | None = None) -> str:
    """Return what the exporter's check of its configuration says, which must be well."""
    found = subprocess.run(
        [sys.executable, "-m", "qmp_exporter", *arguments, "--config.check"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(env or {})},
        timeout=30,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def variables(container: dict[str, Any]) -> dict[str, str]:
    """Return the variables of a container as its node sets them."""
    known = {"NODE_NAME": NODE}
    for one in container.get("env", ()):
        if "secretKeyRef" in one.get("valueFrom", {}):
            known[one["name"]] = "authorization=Bearer%20x"
        elif "value" in one:
            known[one["name"]] = one["value"].replace("$(NODE_NAME)", known["NODE_NAME"])
    return known


def secrets() -> dict[str, dict[str, str]]:
    """Return the Secrets that files of ci/ name, with what is in them."""
    certificate = trustme.CA().issue_cert("qmp-exporter")
    return {
        "qmp-exporter-web": {"web.yml": yaml.safe_dump(WEB)},
        "qmp-exporter-cert": {
            "tls.key": certificate.private_key_pem.bytes().decode(),
            "tls.crt": certificate.cert_chain_pems[0].bytes().decode(),
        },
    }


def write_files(found: list[dict[str, Any]], folder: Path) -> None:
    """Make the files that the exporter finds where volumes are mounted."""
    maps = {one["metadata"]["name"]: one["data"] for one in of_kind(found, "ConfigMap")}
    volumes = {one["name"]: one for one in pod(found)["spec"].get("volumes", ())}
    known = secrets()
    for mount in exporter(pod(found)).get("volumeMounts", ()):
        volume = volumes[mount["name"]]
        files = dict(maps[volume["configMap"]["name"]] if "configMap" in volume else {})
        for source in volume.get("projected", {}).get("sources", ()):
            files |= known[source["secret"]["name"]]
        place = Path(f"{folder}{mount['mountPath']}")
        place.mkdir(parents=True)
        for name, text in files.items():
            (place / name).write_text(text)


@pytest.mark.parametrize("name", WORKING)
def test_arguments(name: str, tmp_path: Path) -> None:
    """Every argument and file of the container is one that the exporter takes."""
    found = made(name)
    write_files(found, tmp_path)
    container = exporter(pod(found))
    shown = yaml.safe_load(
        checked(placed(container["args"], tmp_path), variables(container)),
    )
    assert shown["web"]["listen_address"] == [":10767"]
    assert shown["qmp"]["socket"]
    if name == "everything":
        (listens,) = shown["qmp"]["listen"]
        assert listens["path"] == f"{tmp_path}/run/qmp-exporter/qmp.sock"
        assert (listens["mode"], listens["users"]) == ("0660", ["107"])
        assert shown["limits"]["targets"] == 1_000_000
        assert shown["log"] == {"events": True, "level": "debug", "format": "json"}
    if name == "tls":
        assert shown["web"]["config_file"] == f"{tmp_path}/etc/qmp-exporter-web/web.yml"


def test_a_wrong_argument_is_seen() -> None:
    """This way of checking refuses what the exporter does not have."""
    with pytest.raises(AssertionError, match="no-such"):
        checked(["--no-such=1"])


def test_the_whole_file(tmp_path: Path) -> None:
    """All keys of the example of docs/ can be values, and arrive as they are there."""
    config = yaml.safe_load((ROOT / "docs" / "qmp-exporter.yml").read_text())
    for key in ("listen_address", "systemd_socket", "config_file"):
        del config["web"][key]
    values = {"mode": "deployment", "config": config}
    found = render(values)
    write_files(found, tmp_path)
    arguments = placed(exporter(pod(found))["args"], tmp_path)
    assert not any(one.startswith("--qmp.") for one in arguments)
    shown = yaml.safe_load(checked(arguments))
    expected = tmp_path / "direct.yml"
    expected.write_text(yaml.safe_dump(config))
    direct = yaml.safe_load(
        checked([f"--config.file={expected}", "--web.listen-address=:10767"]),
    )
    assert shown == direct


def test_telemetry() -> None:
    """The exporter sends where the values say, with their headers and attributes."""
    container = exporter(pod(made("otel")))
    otel = read_otel(variables(container))
    assert otel is not None
    assert dict(otel.attributes) == {"k8s.cluster.name": "east, 1", "k8s.node.name": NODE}
    for signal, path in ((otel.traces, "traces"), (otel.logs, "logs"), (otel.metrics, "metrics")):
        assert signal is not None
        assert signal.otlp is not None
        assert signal.otlp.shown == f"http://collector.monitoring.svc:4318/v1/{path}"
        assert dict(signal.otlp.headers) == {"authorization": "Bearer x"}
    # A variable can be used by those after it only.
    names = [one["name"] for one in container["env"]]
    assert names.index("NODE_NAME") < names.index("OTEL_RESOURCE_ATTRIBUTES")
    secret = only(made("otel"), "DaemonSet")
    assert "Bearer" not in str(secret)


def test_nothing_is_sent_by_default() -> None:
    """Without values of OpenTelemetry there is no variable at all."""
    assert "env" not in exporter(pod(made("daemonset")))
