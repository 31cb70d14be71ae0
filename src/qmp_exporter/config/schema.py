"""The JSON Schema of the configuration file, for editors."""

from __future__ import annotations

import json
from typing import Any

from qmp_exporter.config.flags import FLAGS
from qmp_exporter.config.members import several
from qmp_exporter.config.settings import Settings


def schema() -> dict[str, Any]:
    """Return the schema; draft 7 is the last one that editors' YAML servers know.

    It cannot say all that is checked: that a monitor is there once, that ports, sizes, ids and
    paths are within their bounds, that ``match`` is a regular expression of Python and which labels
    its groups make, that a number is written in digits.
    """
    found = _section()
    for flag in FLAGS:
        if not flag.filed:
            continue
        *sections, name = flag.key.split(".")
        inner = found
        for section in sections:
            inner = inner["properties"].setdefault(section, _section())
        known = flag.kind.schema
        inner["properties"][name] = {
            "description": flag.says,
            **(several(known, uniqueItems=True, minItems=flag.least) if flag.many else known),
            "default": flag.of(Settings()),
        }
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "qmp-exporter", **found}


def text() -> str:
    """Return the schema as its file is."""
    return json.dumps(schema(), indent=2) + "\n"


def _section() -> dict[str, Any]:
    # One in which everything is commented out is nothing to YAML.
    return {"type": ["object", "null"], "properties": {}, "additionalProperties": False}
