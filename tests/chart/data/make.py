"""Writes monitoring.json: what three of the Prometheus operator's objects may have in them.

It takes a folder with the module github.com/prometheus-operator/prometheus-operator (Apache-2.0),
as ``go mod download -json github.com/prometheus-operator/prometheus-operator@VERSION`` unpacks it,
and keeps each kind's openAPIV3Schema, without descriptions. What an object has that its schema
does not know, an API server drops without a word; here it is an error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml


KINDS = ("podmonitors", "prometheusrules", "servicemonitors")


def strict(schema: Any, *, names: bool = False) -> Any:
    """Return a schema without words and extensions that takes no key but its own.

    Args:
        schema: of an API server.
        names: whether its keys are names of properties, and none of JSON Schema.
    """
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        key: strict(value, names=key == "properties" and not names)
        for key, value in schema.items()
        if names or (key not in ("description", "default") and not key.startswith("x-kubernetes"))
    }
    if str(found.get("pattern", "")).startswith("^(?i)"):  # Go may have it there, Python may not
        found["pattern"] = "(?i)^" + found["pattern"].removeprefix("^(?i)")
    if not names and found.get("type") == "object" and "properties" in found:
        found["additionalProperties"] = False
    return found


def main(folder: Path) -> None:
    """Write it."""
    module, _, version = folder.name.partition("@")
    wanted: dict[str, Any] = {
        "source": f"github.com/prometheus-operator/{module}, example/prometheus-operator-crd",
        "version": version,
        "licence": "Apache-2.0",
        "schemas": {},
    }
    for kind in KINDS:
        path = folder / "example/prometheus-operator-crd" / f"monitoring.coreos.com_{kind}.yaml"
        spec = yaml.safe_load(path.read_text())["spec"]
        (found,) = (one for one in spec["versions"] if one["name"] == "v1")
        schema = strict(found["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"type": "object"}
        wanted["schemas"][spec["names"]["kind"]] = schema
    text = json.dumps(wanted, indent=1, sort_keys=True) + "\n"
    (Path(__file__).parent / "monitoring.json").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
