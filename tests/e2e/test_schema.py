"""The catalog against the schema that QEMU tells of itself (``query-qmp-schema``).

What the exporter insists on must be there, of the type that it expects, and every value that QEMU
may send must have a name of its own. Source: QEMU's docs/devel/qapi-code-gen.rst, "Client JSON
Protocol introspection", and qapi/introspect.json.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import inspect

from qmp_exporter.catalog import states
from qmp_exporter.catalog.events import BY_NAME, EVENTS
from qmp_exporter.demo import Machine
from qmp_exporter.model import replies
from qmp_exporter.qmp import queries
from schemas import GENERATIONS
from schemas import schema as known


if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qmp_exporter.catalog.spec import EventSpec, Label


class Schema:
    """The schema of a QEMU: SchemaInfo entities by name."""

    def __init__(self, entities: list[dict[str, Any]]) -> None:
        self._entities = {entity["name"]: entity for entity in entities}

    @cached_property
    def events(self) -> dict[str, str]:
        """The type of the data of each event."""
        return {
            name: str(entity["arg-type"])
            for name, entity in self._entities.items()
            if entity["meta-type"] == "event"
        }

    def reply(self, command: str) -> str:
        """Return the type of the reply to a command, of one member of it where it is a list."""
        found = self._entities[str(self._entities[command]["ret-type"])]
        return str(found.get("element-type", found["name"]))

    def commands(self) -> set[str]:
        """Return the names of all commands."""
        return {n for n, entity in self._entities.items() if entity["meta-type"] == "command"}

    def members(self, kind: str) -> dict[str, tuple[str, bool]]:
        """Return the type of each member of an object, and whether it is always there."""
        members = self._entities[kind]["members"]
        return {m["name"]: (str(m["type"]), "default" not in m) for m in members}

    def variants(self, kind: str) -> list[str]:
        """Return the types that an object is one of besides."""
        return [str(variant["type"]) for variant in self._entities[kind].get("variants", ())]

    def json_type(self, kind: str) -> str:
        """Return what a value of a type is in JSON: string, int, boolean, object, array ..."""
        entity = self._entities[kind]
        names = {"enum": "string", "object": "object", "array": "array"}
        return str(names.get(entity["meta-type"]) or entity.get("json-type", "alternate"))

    def values(self, kind: str) -> set[str]:
        """Return the values of an enum, none for another type."""
        return {str(member["name"]) for member in self._entities[kind].get("members", ())}

    def at(self, kind: str, *path: str) -> str:
        """Return the type of a member of a member ... of an object."""
        for name in path:
            kind, _ = self.members(kind)[name]
        return kind


@pytest.fixture
async def schema(place: Path) -> Schema:
    """The schema of the QEMU that is tested with."""
    async with Machine(place, "vm") as machine:
        return Schema(await machine.execute("query-qmp-schema"))


JSON_TYPES: dict[type[inspect.Type], set[str]] = {
    inspect.StrType: {"string"},
    inspect.IntType: {"int"},
    inspect.BoolType: {"boolean"},
    inspect.StructType: {"object"},
    inspect.VarTupleType: {"array"},
}


def misfits(schema: Schema, ours: inspect.Type, kind: str, where: str) -> Iterator[str]:
    """Yield what a type of ours asks that QEMU's type does not promise."""
    if isinstance(ours, inspect.UnionType):  # of something and None
        ours = next(t for t in ours.types if not isinstance(t, inspect.NoneType))
    found = schema.json_type(kind)
    if found not in JSON_TYPES[type(ours)]:
        yield f"{where}: QEMU sends {found}, we read {type(ours).__name__}"
    elif isinstance(ours, inspect.VarTupleType):
        element = str(schema._entities[kind]["element-type"])
        yield from misfits(schema, ours.item_type, element, f"{where}[]")
    elif isinstance(ours, inspect.StructType):
        members = schema.members(kind)
        for field in ours.fields:
            inside = f"{where}.{field.encode_name}"
            if field.encode_name in members:
                their, always = members[field.encode_name]
                yield from misfits(schema, field.type, their, inside)
                if field.required and not always:
                    yield f"{inside}: we insist on it, QEMU may leave it out"
            elif field.required:
                yield f"{inside}: we insist on it, QEMU does not have it"


async def test_payloads_fit(schema: Schema) -> None:
    """QEMU always sends the members that a payload insists on, of the types that it reads."""
    assert len(schema.events) > 40
    assert [
        misfit
        for spec in EVENTS
        if spec.name in schema.events
        for misfit in misfits(
            schema, inspect.type_info(spec.payload), schema.events[spec.name], spec.name
        )
    ] == []


REPLIES = {
    "query-status": replies.Status,
    "query-block": replies.BlockDevice,
    "query-blockstats": replies.DiskCounts,
    "query-jobs": replies.JobInfo,
    "query-migrate": replies.MigrationInfo,
    "query-vnc-servers": replies.VncServer,
    "query-spice": replies.Spice,
    "query-balloon": replies.Balloon,
    "query-name": queries.Name,
    "query-uuid": queries.Uuid,
    "query-target": queries.Arch,
    "query-migrate-capabilities": queries.Capability,
}


async def test_replies_fit(schema: Schema) -> None:
    """QEMU has every command on the list, and its reply what we insist on."""
    assert schema.commands() >= queries.COMMANDS
    asked = {command for command in queries.COMMANDS if command.startswith("query-")}
    assert asked == REPLIES.keys()
    assert [
        misfit
        for command, kind in REPLIES.items()
        for misfit in misfits(schema, inspect.type_info(kind), schema.reply(command), command)
    ] == []


BEHIND: dict[tuple[str, str], tuple[str, ...]] = {
    ("ACPI_DEVICE_OST", "slot"): ("info", "slot-type"),
    ("ACPI_DEVICE_OST", "source_text"): ("info", "source"),
    ("ACPI_DEVICE_OST", "status_text"): ("info", "status"),
    ("DUMP_COMPLETED", "status"): ("result", "status"),
    ("GUEST_PANICKED", "kind"): ("info", "type"),
}
"""The members behind labels that are not members themselves."""

OURS = {"outcome"}
"""Members of payloads that are made of others: their values are ours."""

NOT_SENT = {"DUMP_COMPLETED": {"none", "active"}}
"""Values of an enum that this event cannot have: a dump that is completed is neither."""


def unnamed(schema: Schema, spec: EventSpec, label: Label) -> set[str]:
    """Return the values that QEMU may send for a label and that the catalog has no name for."""
    if label.source in OURS:
        return set()
    fields = {f.name: f.encode_name for f in inspect.type_info(spec.payload).fields}  # type: ignore[attr-defined]
    path = BEHIND.get((spec.name, label.source)) or (fields[label.source],)
    kind = schema.at(schema.events[spec.name], *path)
    if schema.json_type(kind) == "boolean":
        return {"true", "false"} - set(label.values)
    return schema.values(kind) - set(label.values) - NOT_SENT.get(spec.name, set())


async def test_every_value_has_a_name(schema: Schema) -> None:
    """No value that an event may have is shown as ``other``."""
    found = {
        f"{spec.name} {label.name}": values
        for spec in EVENTS
        for counter in spec.counters
        for label in counter.labels
        if not label.free and spec.name in schema.events
        if (values := unnamed(schema, spec, label))
    }
    assert found == {}


async def test_every_state_has_a_name(schema: Schema) -> None:
    """No run state, status of a migration or of a disk, and no login is shown as ``other``."""
    panic = schema.at(schema.events["GUEST_PANICKED"], "info")
    vnc = schema.reply("query-vnc-servers")
    encrypted = schema.values(schema.at(vnc, "vencrypt"))
    known = {
        schema.at(schema.reply("query-status"), "status"): states.RUN_STATES,
        schema.at(schema.reply("query-migrate"), "status"): states.MIGRATION_STATUSES,
        schema.at(schema.events["MIGRATION"], "status"): states.MIGRATION_STATUSES,
        schema.at(schema.reply("query-block"), "io-status"): states.IO_STATUSES,
        schema.at(panic, "type"): states.PANIC_KINDS,
        schema.at(vnc, "auth"): states.DISPLAY_AUTHS,
    }
    found = {kind: schema.values(kind) - set(names) for kind, names in known.items()}
    assert {kind: values for kind, values in found.items() if values} == {}
    assert all(schema.values(kind) for kind in known)
    # The event joins what the query has in two members.
    joined = {f"vencrypt+{kind.replace('-', '+')}" for kind in encrypted}
    assert joined
    assert joined <= set(states.DISPLAY_AUTHS)
    # A panic's information is one of several types: their tag is a label, the rest is not read.
    assert len(schema.variants(panic)) == len(schema.values(schema.at(panic, "type")))


async def test_the_catalog_has_every_event(schema: Schema, place: Path) -> None:
    """Of the QEMUs that it was made for; of another one this names those that it has not."""
    async with Machine(place, "other") as machine:
        found = (await machine.execute("query-version"))["qemu"]
    theirs = sorted(schema.events.keys() - BY_NAME.keys())
    print("not in the catalog:", *theirs)  # noqa: T201 - read it with -rP
    if f"{found['major']}.{found['minor']}" in GENERATIONS:
        assert theirs == []


async def test_the_catalog_is_of_this_world(schema: Schema) -> None:
    """An event that this QEMU does not have is one that not all of the known ones have."""
    everywhere = set.intersection(*(set(known(version)) for version in GENERATIONS))
    assert everywhere <= schema.events.keys()
    assert everywhere <= BY_NAME.keys()
