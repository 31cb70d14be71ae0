"""Names for what a guest reports of hot-plug."""

from __future__ import annotations

import pytest

from qmp_exporter.catalog.acpi import SOURCE_NAMES, STATUS_NAMES, source_name, status_name


@pytest.mark.parametrize(
    ("source", "status", "names"),
    [
        (0, 0, ("bus-check", "success")),
        (1, 1, ("device-check", "failure")),
        (3, 0x80, ("eject-request", "ejection-not-supported")),
        (3, 0x84, ("eject-request", "ejection-in-progress")),
        (0x103, 0x82, ("ejection", "device-busy")),
        (0x100, 0x80, ("os-shutdown", "shutdown-denied")),
        (0x200, 0x80, ("insertion", "insertion-in-progress")),
        (0x200, 0x90, ("insertion", "resources-unavailable")),
        (0x200, 0x9F, ("insertion", "resources-unavailable")),
        (0x200, 0xA0, ("insertion", "other")),
        (1, 0x80, ("device-check", "other")),
        (3, 3, ("eject-request", "other")),
        (0x0A, 0x80, ("other", "other")),
        (-1, -1, ("other", "other")),
        (2**63 - 1, 2, ("other", "unrecognized-notify")),
    ],
)
def test_the_names_are_those_of_the_specification(
    source: int, status: int, names: tuple[str, str]
) -> None:
    """A status above 0x7f means something else for each source; what has no name is `other`."""
    assert (source_name(source), status_name(source, status)) == names


def test_the_sets_are_closed() -> None:
    """Whatever integers a guest makes up, the names are of these sets, or `other`."""
    numbers = (*range(-2, 0x300), 2**31)
    assert {source_name(n) for n in numbers} == {*SOURCE_NAMES, "other"}
    found = {status_name(source, status) for source in numbers[:0x210] for status in range(0x110)}
    assert found == {*STATUS_NAMES, "other"}
    assert len(set(STATUS_NAMES)) == len(STATUS_NAMES)
