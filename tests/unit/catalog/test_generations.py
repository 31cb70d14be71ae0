"""The catalog against the events of three generations of QEMU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from qmp_exporter.catalog.events import BY_NAME, EVENTS
from schemas import GENERATIONS, schema


if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmp_exporter.catalog.spec import EventSpec


JSON = {"str": str, "int": int, "boolean": bool}


@pytest.mark.parametrize("version", GENERATIONS)
def test_every_event_has_an_entry(version: str) -> None:
    """None of a QEMU that the catalog was made for is shown as ``other``."""
    assert len(schema(version)) > 50
    assert schema(version).keys() - BY_NAME.keys() == set()


def test_every_entry_is_an_event() -> None:
    """Of at least one of them."""
    known = set().union(*map(schema, GENERATIONS))
    assert BY_NAME.keys() - known == set()


def misfits(type_: Any, value: object, where: str) -> Iterator[str]:
    """Yield what of a value is not as its type in the notation of the files."""
    match type_:
        case str() if type_ in JSON:
            if type(value) is not JSON[type_]:
                yield f"{where}: {value!r} is no {type_}"
        case {"enum": list(names)}:
            if value not in names:
                yield f"{where}: {value!r} is none of {names}"
        case {"object": dict(members)} if isinstance(value, dict):
            variants = type_.get("variants", {})
            more = variants.get(value.get(type_.get("tag", "")), {})
            yield from unfit(members | more, value, where)
        case _:
            yield f"{where}: {value!r} is no {type_}"


def unfit(members: dict[str, Any], data: dict[str, Any], where: str) -> Iterator[str]:
    """Yield what of an object is not as its members."""
    for name, value in data.items():
        if name not in members:
            yield f"{where}.{name} is no member"
        else:
            yield from misfits(members[name]["type"], value, f"{where}.{name}")
    for name, member in members.items():
        if name not in data and not member["optional"]:
            yield f"{where}.{name} is missing"


@pytest.mark.parametrize("spec", EVENTS, ids=lambda spec: spec.name)
def test_its_first_sample_is_what_a_qemu_sends(spec: EventSpec) -> None:
    """Every member that there is, of its type; nothing that must be there is missing."""
    data = spec.samples[0] or {}
    found = {
        version: list(unfit(schema(version)[spec.name], data, spec.name))
        for version in GENERATIONS
        if spec.name in schema(version)
    }
    assert [] in found.values(), found


@pytest.mark.parametrize("spec", EVENTS, ids=lambda spec: spec.name)
def test_members_that_it_reads_are_there(spec: EventSpec) -> None:
    """A payload reads nothing that no QEMU sends, but for what documents of old ones have."""
    theirs = {name for version in GENERATIONS for name in schema(version).get(spec.name, {})}
    ours = set(spec.payload.__struct_encode_fields__)
    assert ours - theirs <= UNREAL.get(spec.name, set())


UNREAL = {
    "ACPI_DEVICE_OST": {"slot-type", "source", "status"},  # flat, in old documents
    "BLOCK_IO_ERROR": {"qdev"},  # of query-block, where QEMU is one that has no qom-path
    "BLOCK_IMAGE_CORRUPTED": {"qom-path", "qdev"},  # read as of BLOCK_IO_ERROR
}
"""Members that are read, and that no QEMU of these sends."""
