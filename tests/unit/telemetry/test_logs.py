"""The log: one line a record, whatever it holds."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmp_exporter.telemetry import logs
from qmp_exporter.telemetry.logs import FORMATS, LEVELS, JsonFormatter, LogfmtFormatter


if TYPE_CHECKING:
    from collections.abc import Iterator

ANYTHING = st.text(st.characters(), max_size=40)  # lone surrogates, controls, line separators
PAIR = re.compile(r'([a-z]+)=("(?:[^"\\]|\\.)*"|[^\s"=]+)(?: |$)')


def record(message: str, *, failed: BaseException | None = None) -> logging.LogRecord:
    """A record of this package."""
    info = (type(failed), failed, failed.__traceback__) if failed else None
    name = "qmp_exporter.qmp.session"
    found = logging.LogRecord(name, logging.WARNING, __file__, 1, message, None, info)
    found.created = 1_700_000_000.1239
    return found


def fields(line: str) -> dict[str, str]:
    """Read logfmt back."""
    found = {}
    at = 0
    while at < len(line):
        pair = PAIR.match(line, at)
        assert pair, line[at:]
        key, value = pair.groups()
        found[key] = json.loads(value) if value.startswith('"') else value
        at = pair.end()
    return found


@given(ANYTHING)
def test_logfmt_is_one_line_that_can_be_read_back(message: str) -> None:
    """Whatever a message holds: quotes, line ends, terminal escapes, half a character."""
    line = LogfmtFormatter().format(record(message))
    assert len(line.splitlines()) == 1
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", line)
    assert fields(line) == {
        "ts": "2023-11-14T22:13:20.123Z",
        "level": "warn",
        "logger": "qmp.session",
        "msg": message,
    }


@given(ANYTHING)
def test_json_is_one_line_with_the_same_fields(message: str) -> None:
    """One object a line, in ASCII."""
    line = JsonFormatter().format(record(message))
    assert len(line.splitlines()) == 1
    assert line.isascii()
    assert json.loads(line) == fields(LogfmtFormatter().format(record(message)))


@pytest.mark.parametrize("formatter", [LogfmtFormatter(), JsonFormatter()])
def test_an_exception_is_part_of_the_line(formatter: logging.Formatter) -> None:
    """With its traceback, and still one line."""
    try:
        int("two\nlines")
    except ValueError as err:
        line = formatter.format(record("failed", failed=err))
    assert len(line.splitlines()) == 1
    found = json.loads(line) if line.startswith("{") else fields(line)
    assert found["exception"].startswith("Traceback")
    assert found["exception"].endswith(r"with base 10: 'two\nlines'")


@pytest.fixture
def untouched() -> Iterator[None]:
    """Leave logging as it was."""
    root, package = logging.getLogger(), logging.getLogger("qmp_exporter")
    handlers, level, own = root.handlers[:], root.level, package.level
    yield
    for handler in [one for one in root.handlers if one not in handlers]:
        root.removeHandler(handler)
    root.handlers[:] = handlers
    root.setLevel(level)
    package.setLevel(own)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("level", LEVELS)
def test_a_level_is_the_least_that_is_written(
    level: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of this package; of libraries only warnings, whatever the level."""
    logs.configure(level, form)
    for name in ("qmp_exporter.app", "asyncio"):
        for one in ("debug", "info", "warning", "error"):
            getattr(logging.getLogger(name), one)("a %s of %s", one, name)
    written = capsys.readouterr().err.splitlines()
    assert all(line.startswith("{") is (form == "json") for line in written)
    found = [json.loads(line) if form == "json" else fields(line) for line in written]
    ours = [one["level"] for one in found if one["logger"] == "app"]
    assert ours == list(LEVELS[LEVELS.index(level) :])
    assert [one["level"] for one in found if one["logger"] == "asyncio"] == ["warn", "error"]


@pytest.mark.usefixtures("untouched")
def test_what_cannot_be_encoded_is_written_all_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    """A socket's path may hold bytes that are no text."""
    logs.configure("info", "logfmt")
    logging.getLogger("qmp_exporter.app").info("%s is gone", "/run/\udcff.sock")
    assert r"/run/\udcff.sock is gone" in capfd.readouterr().err
