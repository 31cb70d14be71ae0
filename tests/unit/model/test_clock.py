"""Counters of seconds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qmp_exporter.model.clock import Clock


def test_it_counts_while_it_runs() -> None:
    """Periods add up; between them it stands still."""
    clock = Clock().start(10.0)
    assert clock.seconds(12.5) == 2.5
    clock = clock.stop(13.0)
    assert clock.seconds(99.0) == 3.0
    assert clock.start(100.0).seconds(101.0) == 4.0


def test_started_twice_it_keeps_its_begin() -> None:
    """A clock that runs is not set back, and one that stands still is not stopped again."""
    running = Clock().start(1.0)
    assert running.start(5.0) is running
    stopped = running.stop(2.0)
    assert stopped.stop(9.0) is stopped


TIMES = st.lists(st.tuples(st.booleans(), st.floats(0, 1e6)), max_size=20)


@given(TIMES)
def test_it_never_falls(steps: list[tuple[bool, float]]) -> None:
    """Even where time jumps back, what was counted stays counted."""
    clock, before = Clock(), 0.0
    for runs, now in steps:
        clock = clock.start(now) if runs else clock.stop(now)
        assert clock.total >= before
        assert clock.seconds(now) >= clock.total
        before = clock.total
