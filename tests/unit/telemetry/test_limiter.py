"""The limit on the lines of the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from qmp_exporter.telemetry import limiter as module
from qmp_exporter.telemetry.limiter import Limiter


if TYPE_CHECKING:
    from collections.abc import Callable


def record(text: str = "%s is gone", *args: object) -> logging.LogRecord:
    """A record of the log."""
    return logging.LogRecord("x", logging.INFO, "", 0, text, args or ("web",), None)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that stands still until it is moved."""
    now = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


def test_a_burst_passes_and_then_the_rate(clock: Callable[[float], None]) -> None:
    """Ten seconds' worth at once, then so many a second, each missing one counted."""
    limiter = Limiter(5)
    missing: list[int] = []
    limiter.suppressed = missing.append
    assert sum(limiter.filter(record()) for _ in range(100)) == 50
    assert sum(missing) == 50
    clock(2)
    assert sum(limiter.filter(record()) for _ in range(100)) == 10
    assert sum(missing) == 140
    clock(10_000)
    assert sum(limiter.filter(record()) for _ in range(100)) == 50


def test_the_next_line_tells_how_many_are_missing(clock: Callable[[float], None]) -> None:
    """Once."""
    limiter = Limiter(1, burst=1)
    assert limiter.filter(record())
    for _ in range(7):
        assert not limiter.filter(record())
    clock(3)
    told = record()
    assert limiter.filter(told)
    assert told.getMessage() == "web is gone (after 7 suppressed lines)"
    clock(3)
    told = record("100%% of %d", 5)
    assert limiter.filter(told)
    assert told.getMessage() == "100% of 5"


def test_no_limit_is_none() -> None:
    """0 lets everything through, whatever it was before."""
    limiter = Limiter(1, burst=1)
    assert [limiter.filter(record()) for _ in range(2)] == [True, False]
    limiter.set(0)
    assert all(limiter.filter(record()) for _ in range(1000))
