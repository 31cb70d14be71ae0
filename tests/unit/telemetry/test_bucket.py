"""The rate: as many at once as it says, and one more after each interval."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qmp_exporter.telemetry.bucket import Bucket


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_a_burst_and_then_one_each_interval() -> None:
    """It is full at the beginning, and never more than full."""
    clock = Clock()
    bucket = Bucket(0.5, 3, clock)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    clock.now = 0.5
    assert [bucket.take() for _ in range(2)] == [True, False]
    clock.now = 0.75
    assert not bucket.take()
    clock.now = 1.0
    assert bucket.take()
    clock.now = 1000.0
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]


def test_without_a_burst_nobody_is_let_through() -> None:
    """As in Go, for 0 and for less."""
    for burst in (0, -1):
        clock = Clock()
        bucket = Bucket(1.0, burst, clock)
        clock.now = 100.0
        assert not bucket.take()


@given(
    st.floats(1e-9, 1e4),
    st.integers(1, 1000),
    st.lists(st.floats(0, 1e3, allow_subnormal=False), max_size=200),
)
def test_no_more_than_the_rate(interval: float, burst: int, steps: list[float]) -> None:
    """Over any time, whenever one asks."""
    clock = Clock()
    bucket = Bucket(interval, burst, clock)
    taken = 0
    for step in steps:
        clock.now += step
        taken += bucket.take()
    assert taken <= burst + clock.now / interval + 1
