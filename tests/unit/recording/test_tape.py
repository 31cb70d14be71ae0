"""The file of a recording: read as it was written, and with care."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from qmp_exporter.catalog.decoder import decoder
from qmp_exporter.errors import ConfigError, DecodeError
from qmp_exporter.recording.conversation import QmpError
from qmp_exporter.recording.tape import FORMAT, HEADER, Tape, encoded, header


if TYPE_CHECKING:
    from pathlib import Path

BEGAN = 1_700_000_000.25
HEAD = header(BEGAN, "10.0.2", personal=False).decode()
STAMP = {"seconds": 1_700_000_001, "microseconds": 0}
STOP = {"timestamp": STAMP, "event": "STOP"}


def written(folder: Path, *lines: object, head: str = HEAD) -> Path:
    """Return a file of these lines."""
    path = folder / "vm.jsonl"
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("\n".join([head, *texts]) + "\n")
    return path


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Events with what they are late by, replies and errors, lines that are none, the end."""
    path = written(
        tmp_path,
        encoded(0.0005, command="query-status", **{"return": {"status": "running"}}).decode(),
        encoded(
            0.001, command="query-balloon", error={"class": "DeviceNotActive", "desc": "no"}
        ).decode(),
        encoded(1.0, event=msgspec.Raw(json.dumps(STOP).encode())).decode(),
        encoded(1.5, broken="RESET").decode(),
        encoded(1.5, broken="other", line="\x00\xff").decode(),
        encoded(2.25, end="gone").decode(),
    )
    tape = Tape.load(path)
    assert (tape.began, tape.version) == (round(BEGAN * 1e6), (10, 0, 2))
    assert (tape.end, tape.seconds, tape.events) == ("gone", 2.25, 1)
    status, balloon, stop, reset, noise = tape.cues
    assert (status.at, status.command, status.reply) == (500, "query-status", {"status": "running"})
    assert isinstance(balloon.reply, QmpError)
    assert (balloon.reply.kind, str(balloon.reply)) == ("DeviceNotActive", "no")
    assert stop.event is not None
    assert (stop.at, stop.late, stop.event.name) == (1_000_000, 250_000, "STOP")
    assert noise.noise == b"\x00\xff"
    with pytest.raises(DecodeError) as caught:
        decoder()(reset.noise, 0.0, 0.0)
    assert caught.value.event == "RESET"


def test_a_recording_without_an_end_was_stopped(tmp_path: Path) -> None:
    """Whoever wrote it was killed; what is there is good, also without its last line end."""
    path = written(tmp_path, {"at": 1, "event": STOP})
    path.write_bytes(path.read_bytes().rstrip())
    tape = Tape.load(path)
    assert (tape.end, tape.seconds, tape.events) == ("stopped", 1.0, 1)
    assert Tape.load(written(tmp_path)).cues == ()


EXPECTED_LINE = '; expected a line such as {"at": 1.5, "event": {"event": "STOP"}}'


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("STOP", "found 'STOP': JSON is malformed"),
        ("", "found nothing: Input data was truncated"),
        ("5", "found '5': Expected `object`, got `int`"),
        ({"event": STOP}, "missing required field `at`"),
        ({"at": "1", "event": STOP}, "Expected `float`, got `str` - at `$.at`"),
        ({"at": -1, "event": STOP}, "found at -1" + EXPECTED_LINE),
        ({"at": 1e300, "event": STOP}, "found at 1e+300" + EXPECTED_LINE),
        ({"at": 0.5, "event": STOP}, "found at 0.5 after 1" + EXPECTED_LINE),
        ({"at": 1}, "found 0 of event, command, broken and end" + EXPECTED_LINE),
        ({"at": 1, "event": STOP, "end": "gone"}, "found 2 of event, command, broken and end"),
        ({"at": 1, "evnt": STOP}, "unknown field `evnt`"),
        ({"at": 1, "event": {}}, "event: Object missing required field `event`; expected an event"),
        ({"at": 1, "event": {"event": 5}}, "event: Expected `str`, got `int`"),
        ({"at": 1, "event": {"event": "A", "data": 5}}, "event: Expected `object`, got `int`"),
        ({"at": 1, "command": "x"}, "found not one of return and error; expected what the command"),
        ({"at": 1, "command": "x", "return": 1, "error": {"desc": ""}}, "found not one of"),
        ({"at": 1, "return": {}, "broken": "x"}, "a return or an error without a command"),
        ({"at": 1, "event": STOP, "line": "x"}, "found a line without broken"),
        ({"at": 1, "end": "over"}, "Invalid enum value 'over'"),
        (HEAD, "unknown field"),
        ("x" * 100, "found '" + "x" * 60 + "'...: JSON is malformed"),
    ],
)
def test_what_is_wrong_with_a_line_is_said(tmp_path: Path, line: object, says: str) -> None:
    """In one line: the file, the number of the line, what was found and what was expected."""
    path = written(tmp_path, {"at": 1, "event": STOP}, line)
    with pytest.raises(ConfigError) as caught:
        Tape.load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}:3: ")
    assert says in text
    assert "; expected " in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("", "found nothing"),
        ('{"event": "STOP"}', 'found \'{"event": "STOP"}\''),
        (HEAD.replace(str(FORMAT), "2", 1), "found a recording of format 2"),
        (HEAD.replace("10.0.2", "ten"), "found 'ten' as the version of QEMU"),
        (HEAD.replace("Z", ""), "without a time zone"),
        (HEAD.replace("began", "begun"), "unknown field `begun`"),
        (HEAD[:-3], "Input data was truncated"),
    ],
)
def test_what_is_no_recording_is_said(tmp_path: Path, head: str, says: str) -> None:
    """And what its first line would be like."""
    path = written(tmp_path, {"at": 1, "event": STOP}, head=head)
    with pytest.raises(ConfigError) as caught:
        Tape.load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}:1: ")
    assert says in text
    assert text.endswith(f"; expected {HEADER}")


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    """Nothing is there, or a folder; binary; an endless line."""
    for path, says in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError, match=f"^{path}: {says}.*; expected a file of"):
            Tape.load(path)
    path = tmp_path / "binary"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(ConfigError, match=f"^{path}:1: found "):
        Tape.load(path)
    path.write_bytes(HEAD.encode() + b"\n" + b"x" * 10**7)
    with pytest.raises(ConfigError, match=f"^{path}:2: found a line of [0-9]+ bytes or more"):
        Tape.load(path)


def test_after_the_end_there_is_nothing(tmp_path: Path) -> None:
    """Two recordings in one file are a mistake."""
    path = written(tmp_path, {"at": 1, "end": "gone"}, {"at": 2, "event": STOP})
    with pytest.raises(ConfigError, match=f"^{path}:3: .* after the end; expected no more lines"):
        Tape.load(path)


def test_the_header_that_is_shown_is_one(tmp_path: Path) -> None:
    """People copy it."""
    assert Tape.load(written(tmp_path, head=HEADER)).version == (10, 0, 2)
