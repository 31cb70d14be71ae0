"""The shapes of catalog entries."""

from __future__ import annotations

import msgspec
import pytest

from qmp_exporter.catalog.events import BY_NAME, EVENTS, UNCATALOGUED
from qmp_exporter.catalog.spec import Int, Label, Severity


def test_a_label_reads_the_member_of_its_name_unless_told_else() -> None:
    """`field` is for a member that is called otherwise."""
    assert Label("action").source == "action"
    assert Label("node", field="node_name").source == "node_name"


def test_a_label_without_values_is_free() -> None:
    """Then its rows are limited."""
    assert Label("device").free
    assert not Label("guest", ("true", "false")).free


def test_an_integer_has_64_bits() -> None:
    """QEMU has no larger ones; a hostile one does not outgrow a sample."""
    assert msgspec.convert(-(2**63), Int) == -(2**63)
    for number in (2**63, -(2**63) - 1, 10**400):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(number, Int)


def test_the_name_in_traces_and_logs() -> None:
    """Each event has a name of its own there, made of QEMU's."""
    assert BY_NAME["BLOCK_IO_ERROR"].otel_name == "qemu.block_io_error"
    names = {spec.otel_name for spec in (*EVENTS, UNCATALOGUED)}
    assert len(names) == len(EVENTS) + 1


def test_severities_are_numbers_of_opentelemetry() -> None:
    """Its data model has 9 for INFO, 13 for WARN, 17 for ERROR and 21 for FATAL."""
    assert {s.name: s.value for s in Severity} == {"INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21}
