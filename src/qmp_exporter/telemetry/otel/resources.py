"""Who spans and log records are of: the VM, which is watched, and not the exporter.

Names are those of open-telemetry/semantic-conventions, ``qemu.*`` is ours.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as Message
from opentelemetry.sdk.resources import (
    HOST_ARCH,
    HOST_ID,
    HOST_NAME,
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    TELEMETRY_SDK_LANGUAGE,
    TELEMETRY_SDK_NAME,
    TELEMETRY_SDK_VERSION,
    Resource,
)
from opentelemetry.sdk.version import __version__ as sdk_version

from qmp_exporter import __version__
from qmp_exporter.catalog.text import label_text


if TYPE_CHECKING:
    from qmp_exporter.config.otel import Otel
    from qmp_exporter.model.inputs import Identity


ARCHITECTURES: Final = {
    "aarch64": "arm64",
    "arm": "arm32",
    "i386": "x86",
    "ppc": "ppc32",
    "x86_64": "amd64",
}
"""QEMU's words (qapi/machine.json, SysEmuTarget) to those of ``host.arch``; the rest are alike."""

_SDK: Final = {
    TELEMETRY_SDK_LANGUAGE: "python",
    TELEMETRY_SDK_NAME: "opentelemetry",
    TELEMETRY_SDK_VERSION: sdk_version,
}


class HashedResource(Resource):
    """A resource whose hash, which is asked for with each item of a batch, is computed once."""

    _hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = super().__hash__()
        return self._hash


def of_vm(otel: Otel, identity: Identity, vm: str) -> Resource:
    """Return the resource of a VM.

    Args:
        otel: the settings.
        identity: of the VM.
        vm: its label.
    """
    # QEMU's words may have any length, and be none of UTF-8.
    told = (identity.name, identity.uuid, identity.arch, identity.qemu_version)
    name, uuid, arch, version = map(label_text, told)
    known = {
        HOST_ID: uuid,
        HOST_NAME: name or vm,
        HOST_ARCH: ARCHITECTURES.get(arch, arch),
        SERVICE_NAME: otel.service or "qemu",
        SERVICE_INSTANCE_ID: uuid or vm,
        "qemu.vm": vm,
        "qemu.version": version,
    }
    return _resource(otel, known)


def of_exporter(otel: Otel, instance: str) -> Message:
    """Return the resource of the exporter itself, for the metrics of all VMs, as it is sent.

    Args:
        otel: the settings, whose attributes come before ours.
        instance: which exporter on this host.
    """
    host = socket.gethostname()
    known = {
        SERVICE_NAME: otel.service or "qmp-exporter",
        SERVICE_VERSION: __version__,
        SERVICE_INSTANCE_ID: f"{host}:{instance}",
        HOST_NAME: host,
    }
    found = {**_SDK, **known, **dict(otel.attributes)}
    return Message(
        attributes=[KeyValue(key=k, value=AnyValue(string_value=v)) for k, v in found.items()]
    )


def _resource(otel: Otel, known: dict[str, str]) -> Resource:
    told = {key: value for key, value in known.items() if value}
    return HashedResource({**dict(otel.attributes), **_SDK, **told})
