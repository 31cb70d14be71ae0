"""A token bucket, as golang.org/x/time/rate has it: one for all clients, full at the beginning."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import Callable

    from qmp_exporter.config.web_file import Rate


class Bucket:
    """Lets requests through at a rate, and in a burst so many at once.

    Args:
        rate: at which; with a burst of 0 or less nobody is let through.
        clock: seconds.
    """

    def __init__(self, rate: Rate, clock: Callable[[], float] = monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._tokens = float(rate.burst)
        self._at = clock()

    def take(self) -> bool:
        """Return whether one more request is let through now."""
        now = self._clock()
        more = (now - self._at) / self.rate.interval
        self._tokens = min(self._tokens + more, float(self.rate.burst))
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
