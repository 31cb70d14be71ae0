"""The closed sets of values."""

from __future__ import annotations

from enum import StrEnum

import pytest

from qmp_exporter.catalog import states


SETS = {
    name: tuple(value)
    for name, value in vars(states).items()
    if name.isupper() and isinstance(value, tuple | frozenset)
}
ENUMS = {
    name: tuple(value)
    for name, value in vars(states).items()
    if isinstance(value, type) and issubclass(value, StrEnum) and value is not StrEnum
}


@pytest.mark.parametrize("name", SETS | ENUMS)
def test_a_set_is_one(name: str) -> None:
    """No value twice, and each is a short lower-case word or QEMU's own."""
    values = (SETS | ENUMS)[name]
    assert len(set(values)) == len(values) > 0
    assert all(value and value.isprintable() and " " not in value for value in values)


@pytest.mark.parametrize("name", SETS)
def test_other_is_in_none_of_qemus(name: str) -> None:
    """`other` is what is in none of them."""
    assert states.OTHER not in SETS[name]


def test_what_ends_a_migration_is_a_status_of_one() -> None:
    """The sets of statuses are parts of the whole one."""
    whole = set(states.MIGRATION_STATUSES)
    assert set(states.MIGRATION_OUTCOMES) < states.MIGRATION_IDLE < whole
    assert whole > states.MIGRATION_SWITCHED
    assert states.MIGRATION_SWITCHED.isdisjoint(states.MIGRATION_IDLE)
