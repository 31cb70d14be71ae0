"""The keys of the mappings that monitors and listeners may be in the file, as data."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from qmp_exporter.catalog.metrics import VM_METRICS
from qmp_exporter.config import texts
from qmp_exporter.discovery.pattern import NAME_GROUP


LABEL: Final = r"^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$"
"""The form of a label's name. Source: Prometheus' data model; names with __ are its own."""

RESERVED: Final = (
    NAME_GROUP,
    *(label.name for m in VM_METRICS if m.name == "qemu_vm_info" for label in m.labels),
)
"""The labels that ``qemu_vm_info`` has anyway."""

GLOB: Final = r"^(unix:|(?!tcp:).*/).*[*?\[]"
"""The form of a glob of paths."""

EXCLUDE: Final = r"^[/*]"
"""The form of an exclude: it is compared with an absolute path."""


class Member(msgspec.Struct, frozen=True):
    """A key of such a mapping.

    Attributes:
        name: the key.
        help: one phrase.
        schema: its JSON Schema.
    """

    name: str
    help: str
    schema: dict[str, Any]


def several(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the JSON Schema of one or a list of what ``schema`` is for."""
    return {"anyOf": [schema, {"type": "array", "items": schema, **more}]}


_TEXT: Final = {"type": "string"}
OWNER: Final = {
    "anyOf": [
        {"type": "string", "pattern": texts.OWNER},
        {"type": "integer", "minimum": 0, "maximum": 2**32 - 2},
    ]
}
"""The JSON Schema of a user or group."""

OWNER_OR_NONE: Final = {"anyOf": [*OWNER["anyOf"], {"const": ""}]}
"""The JSON Schema of a group, or of the exporter's own."""

_LABELS: Final = Member(
    "labels",
    "further labels of `qemu_vm_info`, as a mapping of texts",
    {
        "type": "object",
        "propertyNames": {"pattern": LABEL, "not": {"enum": list(RESERVED)}},
        "additionalProperties": _TEXT,
    },
)
_MIGRATION: Final = Member(
    "migration_events",
    "whether QEMU may be told to send MIGRATION events; as `qmp.migration_events` where not given",
    {"type": "boolean"},
)
SOCKET: Final = (
    Member(
        "path",
        "the path of a socket, a glob of paths, or `host:port`",
        {"type": "string", "pattern": texts.MONITOR},
    ),
    Member("name", "the VM's name; not with a glob", {"type": "string", "minLength": 1}),
    Member(
        "match",
        "a regular expression searched in each path; what it does not find is left out, its group"
        " `(?P<vm>...)` is the VM's name, its other named groups are labels; only with a glob",
        {"type": "string", "minLength": 1},
    ),
    Member(
        "exclude",
        "globs of paths to leave out, one or a list; compared with the whole path, where a `*`"
        " goes over slashes; only with a glob",
        several({"type": "string", "pattern": EXCLUDE}),
    ),
    _LABELS,
    _MIGRATION,
)
LISTENER: Final = (
    Member("path", "the path of the socket", {"type": "string", "pattern": texts.PATH}),
    Member(
        "mode",
        "permissions of the socket, in quotes; as `listen.mode` where not given",
        {"type": "string", "pattern": texts.MODE},
    ),
    Member(
        "group",
        'the group that owns the socket, `""` for the exporter\'s own; as `listen.group` where'
        " not given",
        OWNER_OR_NONE,
    ),
    Member(
        "users",
        "names or numbers of users who may dial in besides root and the exporter's own; as"
        " `listen.user` where not given",
        several(OWNER),
    ),
    _LABELS,
    _MIGRATION,
)


def mapping(members: tuple[Member, ...], **more: Any) -> dict[str, Any]:
    """Return the JSON Schema of a mapping with these keys, of which ``path`` must be there."""
    return {
        "type": "object",
        "properties": {m.name: {"description": m.help, **m.schema} for m in members},
        "required": ["path"],
        "additionalProperties": False,
        **more,
    }


def _without(*names: str) -> dict[str, Any]:
    return {"properties": dict.fromkeys(names, False)}


SOCKET_SCHEMA: Final = {
    "anyOf": [
        {"type": "string", "pattern": texts.MONITOR},
        mapping(
            SOCKET,
            **{
                "if": {"properties": {"path": {"pattern": GLOB}}},
                "then": _without("name"),
                "else": _without("match", "exclude"),
            },
        ),
    ]
}
LISTENER_SCHEMA: Final = {"anyOf": [{"type": "string", "pattern": texts.PATH}, mapping(LISTENER)]}
