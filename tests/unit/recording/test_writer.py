"""The writer: it never keeps anybody waiting, and says what it could not write."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from qmp_exporter.errors import RecordingError
from qmp_exporter.recording.writer import ROOM, Writer
from support import threads_end


if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 10.0


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe of which nobody has read anything."""
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        with suppress(OSError):  # closed by the test
            os.close(reading)
        threads_end("qmp-exporter-writer", PATIENCE)
        with suppress(OSError):
            os.close(writing)


def test_lines_are_written_as_they_come() -> None:
    """And all that waits is written before it closes."""
    with pipe() as (reading, writing):
        writer = Writer(writing, "x", 100)
        writer.write(b"one")
        assert os.read(reading, 100) == b"one\n"
        writer.write(b"two")
        writer.write(b"three")
        writer.close(PATIENCE)
        assert os.read(reading, 100) == b"two\nthree\n"
        assert writer.written == 14


def test_a_reader_that_does_not_read_ends_it() -> None:
    """What waits has a bound, and writing never blocks."""
    with pipe() as (_, writing):
        writer = Writer(writing, "standard output", 10 * ROOM)
        line = b"x" * (ROOM // 8)
        for _ in range(7):
            writer.write(line)
        with pytest.raises(RecordingError, match=r"^standard output: it takes less than"):
            writer.write(line)
        assert writer.written <= ROOM
        with pytest.raises(RecordingError, match=r"standard output: nobody takes what is written"):
            writer.close(0.01)


def test_a_reader_that_has_gone_ends_it() -> None:
    """The next line, or the end, says so."""
    with pipe() as (reading, writing):
        os.close(reading)
        writer = Writer(writing, "standard output", 100)
        writer.write(b"x")
        with pytest.raises(RecordingError, match=r"^standard output: Broken pipe$"):
            writer.close(PATIENCE)
        with pytest.raises(RecordingError, match=r"^standard output: Broken pipe$"):
            writer.write(b"x")


def test_no_more_is_written_than_is_allowed() -> None:
    """A line that does not fit any more is not written in part."""
    with pipe() as (reading, writing):
        writer = Writer(writing, "file", 10)
        writer.write(b"12345")
        with pytest.raises(RecordingError, match=r"file: 10 bytes are full"):
            writer.write(b"6789")
        writer.close(PATIENCE)
        assert os.read(reading, 100) == b"12345\n"
