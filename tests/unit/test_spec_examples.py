"""The data that other tests stand on: complete, and what it claims to be."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from spec_examples import (
    SPEC_EVENTS,
    VERSIONS,
    broken_spec_example,
    capture_lines,
    captures,
    captures_by_role,
    spec_examples,
)


EVENTS_OF_EXAMPLES = Counter(json.loads(line)["event"] for line in spec_examples())


def test_the_documents_describe_24_events_and_give_24_examples() -> None:
    """Each described event has one example; one has none and another has two."""
    assert len(SPEC_EVENTS) == 24
    assert EVENTS_OF_EXAMPLES.total() == 24
    assert SPEC_EVENTS - set(EVENTS_OF_EXAMPLES) == {"SPICE_DISCONNECTED"}
    assert [event for event, times in EVENTS_OF_EXAMPLES.items() if times > 1] == [
        "QUORUM_REPORT_BAD"
    ]


def test_three_examples_have_no_timestamp() -> None:
    """An event may come without a stamp, if the documents are to be believed."""
    events = [json.loads(line) for line in spec_examples()]
    unstamped = [event["event"] for event in events if "timestamp" not in event]
    assert unstamped == ["ACPI_DEVICE_OST", "DUMP_COMPLETED", "GUEST_PANICKED"]


def test_the_broken_example_is_mended_by_one_comma() -> None:
    """As it stands it is not JSON; with the comma it is the example in the list."""
    broken = broken_spec_example()
    with pytest.raises(json.JSONDecodeError, match="Expecting ',' delimiter"):
        json.loads(broken)
    mended = b" ".join(broken.replace(b'ERROR"\n', b'ERROR",\n').splitlines())
    assert mended in spec_examples()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_captured_line_is_an_event_of_one_scenario(version: str) -> None:
    """The index covers the capture without a gap, and the roles only sort what is there."""
    lines = capture_lines(version)
    assert [line for scenario in captures(version).values() for line in scenario] == lines
    by_role = [line for machine in captures_by_role(version).values() for line in machine]
    assert sorted(by_role) == sorted(lines)
    assert all("event" in json.loads(line) for line in lines)


def test_the_captures_hold_every_event_of_the_documents() -> None:
    """All 24 were provoked on a real QEMU 7.2; on 11.1 all but the one that was removed."""
    seen = {
        version: {json.loads(line)["event"] for line in capture_lines(version)}
        for version in VERSIONS
    }
    assert seen["7.2"] >= SPEC_EVENTS
    assert SPEC_EVENTS - seen["11.1"] == {"MEM_UNPLUG_ERROR"}


@pytest.mark.parametrize("version", VERSIONS)
def test_two_machines_are_told_apart(version: str) -> None:
    """In a migration the source stops and the destination resumes."""
    machines = captures_by_role(version)
    events = {
        role: [json.loads(line)["event"] for line in machines["migration-two-qemus", role]]
        for role in ("src", "dst")
    }
    assert "STOP" in events["src"]
    assert "STOP" not in events["dst"]
    assert "RESUME" in events["dst"]
