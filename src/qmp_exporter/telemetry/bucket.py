"""A token bucket, as golang.org/x/time/rate has it: full at the beginning."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import Callable


class Bucket:
    """Lets through at a rate, and in a burst so many at once.

    Args:
        interval: seconds after which one more is let through.
        burst: those that may come at once; with 0 or less nobody is let through.
        clock: seconds.
    """

    def __init__(
        self, interval: float, burst: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._interval = interval
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._at = clock()

    def take(self) -> bool:
        """Return whether one more is let through now."""
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._at) / self._interval, self._burst)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
