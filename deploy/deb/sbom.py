"""The list of what is in the package and in the image, as CycloneDX 1.6.

That is the wheels, each with the hash of the very file. What a system brings that they are
installed on, Python first of all, is on the list of that system.
"""
# ruff: noqa: INP001

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from collections.abc import Sequence

    from wheels import Wheel


def bom(own: Wheel, others: Sequence[Wheel], epoch: int) -> dict[str, Any]:
    """Return the list; the same wheels and the same time make the same list."""
    refs = {wheel.name: wheel.purl for wheel in (own, *others)}
    hashes = "".join(wheel.sha256 for wheel in (own, *others))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, hashes)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).isoformat(),
            "lifecycles": [{"phase": "build"}],
            "component": _component(own, "application"),
        },
        "components": [_component(wheel, "library") for wheel in others],
        "dependencies": [
            {
                "ref": wheel.purl,
                "dependsOn": [refs[name] for name in wheel.needs if name in refs],
            }
            for wheel in (own, *others)
        ],
    }


def _component(wheel: Wheel, kind: str) -> dict[str, Any]:
    return {
        "type": kind,
        "bom-ref": wheel.purl,
        "name": wheel.name,
        "version": wheel.version,
        "hashes": [{"alg": "SHA-256", "content": wheel.sha256}],
        "licenses": [{"expression": wheel.licence}],
        "purl": wheel.purl,
        "properties": [{"name": "qmp-exporter:wheel", "value": wheel.path.name}],
    }
