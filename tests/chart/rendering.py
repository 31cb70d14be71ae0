"""The chart as Helm's own engine renders it, and what tests ask of the result."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import helm_python
import yaml


ROOT: Final = Path(__file__).parent.parent.parent
CHART: Final = ROOT / "helm" / "qmp-exporter"
CI: Final = {path.name.removesuffix("-values.yaml"): path for path in (CHART / "ci").iterdir()}
RELEASE: Final = "lab"
NAMESPACE: Final = "vms"
WORKLOADS: Final = ("DaemonSet", "Deployment", "StatefulSet")

Manifest: TypeAlias = dict[str, Any]


@cache
def chart() -> Any:
    """Return the chart."""
    return helm_python.Chart.load(CHART)


def render(values: Manifest, name: str = RELEASE) -> list[Manifest]:
    """Return the objects that the chart makes of values; it raises HelmError."""
    return objects(chart().render(values, name=name, namespace=NAMESPACE))


def objects(rendered: dict[str, str]) -> list[Manifest]:
    """Return the objects of rendered templates."""
    return [
        found
        for path, text in rendered.items()
        if not path.endswith("NOTES.txt")
        for found in yaml.safe_load_all(text)
        if found
    ]


def ci(name: str) -> Manifest:
    """Return the values of a file of ci/."""
    found: Manifest = yaml.safe_load(CI[name].read_text())
    return found


@cache
def _rendered(name: str) -> str:
    return yaml.safe_dump_all(render(ci(name)))


def made(name: str) -> list[Manifest]:
    """Return the objects that a file of ci/ makes, anew at each call."""
    return list(yaml.safe_load_all(_rendered(name)))


def of_kind(found: list[Manifest], *kinds: str) -> list[Manifest]:
    """Return the objects of these kinds."""
    return [one for one in found if one["kind"] in kinds]


def only(found: list[Manifest], *kinds: str) -> Manifest:
    """Return the only object of these kinds."""
    (one,) = of_kind(found, *kinds)
    return one


def pod(found: list[Manifest]) -> Manifest:
    """Return the pod that the only workload makes: its metadata and spec."""
    template: Manifest = only(found, *WORKLOADS)["spec"]["template"]
    return template


def exporter(found: Manifest) -> Manifest:
    """Return the exporter's container in a pod."""
    spec = found["spec"]
    containers = spec.get("initContainers", []) + spec["containers"]
    (one,) = (one for one in containers if one["name"] == "qmp-exporter")
    return dict(one)


def labels_match(selector: Manifest, labels: Manifest) -> bool:
    """Return whether a selector, of labels alone, selects what has these labels."""
    return selector.items() <= labels.items()
