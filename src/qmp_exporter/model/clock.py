"""Counters of seconds."""

from __future__ import annotations

import msgspec


class Clock(msgspec.Struct, frozen=True, gc=False):
    """Seconds of the monotonic clock, counted while it runs.

    Attributes:
        total: seconds of the periods that ended.
        since: monotonic seconds at which the present period began; none while it stands still.
    """

    total: float = 0.0
    since: float | None = None

    def start(self, now: float) -> Clock:
        """Return the clock running from ``now``, or as it is if it runs."""
        return self if self.since is not None else Clock(self.total, now)

    def stop(self, now: float) -> Clock:
        """Return the clock standing still, with the seconds up to ``now``."""
        return self if self.since is None else Clock(self.seconds(now))

    def seconds(self, now: float) -> float:
        """Return the seconds counted up to ``now``; never less than before."""
        return self.total if self.since is None else self.total + max(0.0, now - self.since)
