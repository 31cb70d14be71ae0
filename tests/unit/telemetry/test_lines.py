"""Lines to somebody who may be slow, or gone."""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from qmp_exporter.telemetry.lines import ROOM, Lines
from support import threads_end


if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


PATIENCE = 10.0
LONG = "x" * 60_000


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe: where to read, and where to write."""
    reader, writer = os.pipe()
    try:
        yield reader, writer
    finally:
        os.close(reader)
        threads_end("qmp-exporter-lines", PATIENCE)
        os.close(writer)


def drained(reader: int, lines: int) -> list[str]:
    """Read so many lines."""
    with open(reader, "rb", closefd=False) as file:
        return [file.readline().decode().rstrip("\n") for _ in range(lines)]


def test_lines_are_written_in_their_order() -> None:
    """And those that wait at the end are written before it."""
    with pipe() as (reader, writer):
        lines = Lines(writer)
        assert all(lines.write(f"{number}") for number in range(100))
        lines.close(PATIENCE)
        assert drained(reader, 100) == [f"{number}" for number in range(100)]
        assert not lines.write("too late")


def test_nobody_waits_for_a_slow_reader() -> None:
    """There is room for so many lines, then none until some were read."""
    with pipe() as (reader, writer):
        lines = Lines(writer)
        began = monotonic()
        while lines.write(LONG):
            assert monotonic() - began < PATIENCE
        read = threading.Thread(target=drained, args=(reader, ROOM))
        read.start()
        while not lines.write("last"):
            assert monotonic() - began < PATIENCE
        read.join(PATIENCE)
        lines.close(PATIENCE)


def test_the_end_does_not_wait_for_a_slow_reader() -> None:
    """More than so long."""
    with pipe() as (_, writer):
        lines = Lines(writer)
        while lines.write(LONG):
            pass
        began = monotonic()
        lines.close(0.1)
        assert monotonic() - began < PATIENCE
        assert not lines.write("too late")


def test_a_reader_that_is_gone_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """And no line is kept for it."""
    reader, writer = os.pipe()
    os.close(reader)
    lines = Lines(writer)
    began = monotonic()
    while lines.write("x") or not caplog.records:
        assert monotonic() - began < PATIENCE
    lines.close(PATIENCE)
    os.close(writer)
    assert not lines.write("too late")
    assert [record.message for record in caplog.records] == ["no more lines of events: Broken pipe"]


def test_a_descriptor_that_does_not_block_is_written_to_as_well() -> None:
    """Whole lines, however little it takes at a time."""
    with pipe() as (reader, writer):
        os.set_blocking(writer, False)
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        lines = Lines(writer)
        assert all(lines.write(LONG) for _ in range(10))
        assert drained(reader, 10) == [LONG] * 10
        lines.close(PATIENCE)
