"""What docs/howto/kubevirt.md gives to copy."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from qmp_exporter import cli
from qmp_exporter.kubevirt import domain, hook, place, protocol


PAGE = (Path(__file__).parents[3] / "docs/howto/kubevirt.md").read_text()
ANNOTATION = "hooks.kubevirt.io/hookSidecars"
DOCUMENTS = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def annotations(found: Any) -> list[str]:
    """Every annotation in a document."""
    if not isinstance(found, dict):
        return []
    own = [found[ANNOTATION]] if ANNOTATION in found else []
    return own + [one for value in found.values() for one in annotations(value)]


@pytest.mark.parametrize("text", [one for found in DOCUMENTS for one in annotations(found)])
def test_an_annotation_is_a_list_that_kubevirt_and_the_exporter_read(text: str) -> None:
    """With fields of HookSidecar in pkg/hooks/hooks.go, and a command line that is right."""
    (sidecar,) = json.loads(text)
    assert sidecar.keys() <= {"image", "imagePullPolicy", "command", "args", "configMap", "pvc"}
    assert sidecar["image"].startswith("ghcr.io/qmp-exporter/qmp-exporter:")
    assert cli._parsed(sidecar["args"]).command == "kubevirt-hook"
    if command := sidecar.get("command"):
        assert command[0] == "/usr/bin/env"
        assert all("=" in one for one in command[1:-1])


def test_the_monitor_finds_the_sidecars_of_this_image_alone() -> None:
    """By the container and its image; with the port, whatever kind of address the pod has."""
    (monitor,) = [found for found in DOCUMENTS if found.get("kind") == "PodMonitor"]
    keep, four, six = monitor["spec"]["podMetricsEndpoints"][0]["relabelings"]
    image = "ghcr.io/qmp-exporter/qmp-exporter"
    assert re.fullmatch(keep["regex"], f"hook-sidecar-0;{image}:0.1.0")
    assert re.fullmatch(keep["regex"], f"hook-sidecar-12;{image}@sha256:0")
    assert not re.fullmatch(keep["regex"], f"compute;{image}:0.1.0")
    assert not re.fullmatch(keep["regex"], "hook-sidecar-0;quay.io/kubevirt/sidecar-shim:v1")
    for address, rule in (("10.0.0.1", four), ("fd00::1", six)):
        assert re.fullmatch(rule["regex"], address)
    assert not re.fullmatch(four["regex"], "fd00::1")
    assert not re.fullmatch(six["regex"], "10.0.0.1")


def test_the_page_says_what_the_code_does() -> None:
    """Paths, limits, names."""
    path = f"{place.DIRECTORY}/hook-sidecar-0/{place.NAME}.qmp"
    assert f'<qemu:arg value="{domain.monitor(path)[1]}"/>' in PAGE
    assert f'xmlns:qemu="{domain.NAMESPACE}"' in PAGE
    assert f"larger than {domain.LARGEST // 2**20} MiB" in PAGE
    assert f"deeper than {domain.DEEPEST} elements" in PAGE
    assert f"| `--hook.socket-dir PATH` | `{place.DIRECTORY}` |" in PAGE
    assert f"| `--hook.name NAME` | `{place.NAME}` |" in PAGE
    assert all(f"`{point}`" in PAGE for point in hook.PRIORITIES)
    assert protocol.VERSIONS[0] == "v1alpha3"  # of which Shutdown is
