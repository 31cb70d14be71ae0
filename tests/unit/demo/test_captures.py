"""Recordings are read with care, and say what is wrong with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from qmp_exporter.demo.captures import SHIPPED, RecordedEvent, Recording
from qmp_exporter.errors import ConfigError
from spec_examples import VERSIONS, captures_by_role


if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recording_holds_every_line_of_every_machine(version: str) -> None:
    """What is loaded is what the index says, and an event restamped with its own time is itself."""
    recording = Recording.shipped(version)
    loaded = {(one.name, one.role): list(one.lines) for one in recording.scenarios}
    assert loaded == captures_by_role(version)
    assert recording.version == SHIPPED[version]
    for scenario in recording.scenarios:
        for event, line in zip(scenario.events, scenario.lines, strict=True):
            assert event.microseconds is not None
            assert event.stamped(event.microseconds) == line
            assert event.data == json.loads(line).get("data", {})


def test_an_event_without_a_known_time_is_never_stamped() -> None:
    """No stamp, or QEMU's -1, stays as it is."""
    for line in (
        b'{"event": "STOP"}',
        b'{"timestamp": {"seconds": -1, "microseconds": -1}, "event": "STOP"}',
    ):
        assert RecordedEvent.parse(line).stamped(1) == line


def test_scenarios_can_be_chosen() -> None:
    """By name, in the order asked for, with all roles; a wrong name is an error."""
    recording = Recording.shipped().only("sigterm", "migration-two-qemus")
    assert [(one.name, one.role) for one in recording.scenarios] == [
        ("sigterm", ""),
        ("migration-two-qemus", "dst"),
        ("migration-two-qemus", "src"),
    ]
    with pytest.raises(KeyError, match="nonesuch"):
        recording.only("nonesuch")


def test_a_file_without_an_index_is_one_scenario(tmp_path: Path) -> None:
    """Named as the file."""
    file = tmp_path / "web01.jsonl"
    file.write_bytes(b'{"event": "STOP"}\r\n{"event": "RESUME"}\r\n')
    (scenario,) = Recording.load(file, version=(9, 0, 0)).scenarios
    assert (scenario.name, scenario.role, scenario.recipe) == ("web01", "", "")
    assert [event.name for event in scenario.events] == ["STOP", "RESUME"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b"", " found no line, expected one event"),
        (b'{"event": "STOP"}\nSTOP\n', "2: JSON is malformed.*expected a QMP event in JSON"),
        (b'{"event": 5}', r"1: Expected `str`, got `int` - at `\$\.event`"),
        (b'{"return": {}}', "1: .*missing required field `event`"),
        (
            b'{"event": "STOP", "timestamp": 5}',
            r"1: Expected `object.*`, got `int`.*timestamp",
        ),
        (b'{"event": "STOP", "data": []}', "1: Expected `object`, got `array`.*data"),
        (b'{"event": "STOP", "data": null}', "1: Expected `object`, got `null`.*data"),
        (b'{"event": "STOP"}\n\n{"event": "STOP"}', "2: Input data was truncated"),
    ],
)
def test_a_line_that_is_no_event_is_named(tmp_path: Path, lines: bytes, expected: str) -> None:
    """The error says which line of which file, and what is wrong with it."""
    file = tmp_path / "bad.jsonl"
    file.write_bytes(lines)
    with pytest.raises(ConfigError, match=rf"^{file}:.*{expected}"):
        Recording.load(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """So is one that cannot be read."""
    file = tmp_path / "none.jsonl"
    with pytest.raises(ConfigError, match=f"^{file}: No such file or directory$"):
        Recording.load(file)


GOOD = {"scenario": "one", "first_line": 1, "last_line": 2, "events": ["STOP", "RESUME"]}


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ({}, "Expected `array`"),
        ([], "found scenarios up to line 0, expected 2 lines in scenarios"),
        ([GOOD | {"first_line": 2}], "one: found lines 2 to 2, expected them to begin with 1"),
        ([GOOD | {"last_line": 0}], "one: found lines 1 to 0, expected them to begin with 1"),
        ([GOOD | {"last_line": 3}], "found scenarios up to line 3, expected 2 lines"),
        ([GOOD | {"events": ["STOP"]}], r"one: found events \['STOP'\], expected"),
        ([GOOD | {"roles": ["src"]}], "one: found 1 roles, expected 2"),
        ([GOOD, GOOD], "one: found lines 1 to 2, expected them to begin with 3"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(
    tmp_path: Path, index: object, expected: str
) -> None:
    """The error names the index, the scenario, what was found and what was expected."""
    file = tmp_path / "web01.jsonl"
    file.write_bytes(b'{"event": "STOP"}\n{"event": "RESUME"}\n')
    (tmp_path / "web01.index.json").write_text(json.dumps(index))
    with pytest.raises(ConfigError, match=f"^{tmp_path}/web01.index.json: .*{expected}"):
        Recording.load(file)
