"""Why a VM is stopped, and for how long.

STOP gives no reason, and the event that announces it may come late or never. So a STOP is held
until its ``query-status`` is answered, the machine resumes or the stream ends; then it is counted
once, with its cause.
"""

from __future__ import annotations

from typing import Final

import msgspec

from qmp_exporter.catalog.states import StopCause
from qmp_exporter.model.changes import Change, Stopped
from qmp_exporter.model.clock import Clock


ANNOUNCED_WITHIN: Final = 1.0
"""Seconds, by QEMU's stamps, between the event that announces a STOP and that STOP."""

_CAUSES: Final = {
    "io-error": StopCause.IO_ERROR,
    "watchdog": StopCause.WATCHDOG,
    "guest-panicked": StopCause.GUEST_PANIC,
    "internal-error": StopCause.INTERNAL_ERROR,
    "finish-migrate": StopCause.MIGRATION,
    "postmigrate": StopCause.MIGRATION,
    "save-vm": StopCause.SNAPSHOT,
    "restore-vm": StopCause.SNAPSHOT,
}
# Not executing, yet not stopped: not started, not arrived, moved away, or asleep.
_NOT_STOPPED: Final = frozenset({"running", "prelaunch", "inmigrate", "postmigrate", "suspended"})


class Stop(msgspec.Struct, frozen=True, gc=False):
    """A STOP whose cause is not known yet.

    Attributes:
        time: its Unix seconds.
        now: monotonic seconds of its arrival.
        announced: what the event that announced it would make the cause.
    """

    time: float
    now: float
    announced: StopCause | None = None


class Stops(msgspec.Struct, frozen=True):
    """The stop of a VM, and the seconds of all of them.

    Attributes:
        held: a STOP whose cause is not known yet.
        cause: why it is stopped now; none while it runs.
        clocks: the seconds stopped, by cause.
        announced: what the last announcing event would make the cause.
        announced_at: Unix seconds of that event.
        shutdown: what the first SHUTDOWN since the machine ran would make the cause.
    """

    held: Stop | None = None
    cause: StopCause | None = None
    clocks: tuple[Clock, ...] = (Clock(),) * len(StopCause)
    announced: StopCause | None = None
    announced_at: float = 0.0
    shutdown: StopCause | None = None

    @property
    def stopped(self) -> bool:
        """Whether the machine is stopped now, for a cause that is known or not."""
        return self.held is not None or self.cause is not None

    def announce(self, cause: StopCause, time: float) -> Stops:
        """Return the stops after an event that a STOP may follow."""
        held = self.held
        # Delayed by QEMU's rate limit: after a younger one, or until after its STOP.
        overtaken = 0.0 < self.announced_at - time <= ANNOUNCED_WITHIN
        before = held is not None and 0.0 < held.time - time <= ANNOUNCED_WITHIN
        if held is not None and before and not (overtaken and held.announced):
            held = msgspec.structs.replace(held, announced=cause)
        if overtaken:
            return msgspec.structs.replace(self, held=held)
        return msgspec.structs.replace(self, held=held, announced=cause, announced_at=time)

    def explained(self, cause: StopCause) -> Stops:
        """Return the stops after an event that says why there is one, if nothing did before."""
        if self.held is None or self.held.announced is not None:
            return self
        return msgspec.structs.replace(
            self, held=msgspec.structs.replace(self.held, announced=cause)
        )

    def expected(self, time: float) -> StopCause | None:
        """Return what was announced for a STOP of ``time``, if anything."""
        recent = 0.0 <= time - self.announced_at <= ANNOUNCED_WITHIN
        return self.announced if recent else None

    def hold(self, time: float, now: float, *, migrating: bool) -> tuple[Stops, tuple[Change, ...]]:
        """Return the stops after a STOP; one still held is settled first.

        Args:
            time: its Unix seconds.
            now: monotonic seconds.
            migrating: whether this is the source of a migration under way.
        """
        settled, changes = self.settle(None, now, migrating=False)
        announced = settled.expected(time) or (StopCause.MIGRATION if migrating else None)
        held = Stop(time, now, announced)
        return msgspec.structs.replace(settled, held=held), changes

    def settle(
        self, status: str | None, now: float, *, migrating: bool
    ) -> tuple[Stops, tuple[Change, ...]]:
        """Return the stops once the run state is known, or once it will not be known (None).

        Args:
            status: a QAPI RunState.
            now: monotonic seconds.
            migrating: whether a migration is where it stops the guest.
        """
        if self.held is not None:
            held = self.held
            cause = self._cause(status, migrating=migrating) or held.announced or StopCause.OTHER
            stops = self._stopped(cause, held.now)
            if status in _NOT_STOPPED:
                stops = stops.ended(now)
            return stops, (Stopped(cause, held.time),)
        if status is None:
            return self, ()
        if status in _NOT_STOPPED:
            return self.ended(now), ()
        if self.cause is None:  # found stopped: nobody saw the STOP
            cause = self._cause(status, migrating=migrating) or StopCause.OTHER
            return self._stopped(cause, now), ()
        return self, ()

    def ended(self, now: float) -> Stops:
        """Return the stops with the machine not stopped any more."""
        if self.cause is None:
            return self
        clocks = tuple(clock.stop(now) for clock in self.clocks)
        return msgspec.structs.replace(self, cause=None, clocks=clocks)

    def seconds(self, now: float) -> tuple[tuple[StopCause, float], ...]:
        """Return the seconds stopped so far, for each cause."""
        return tuple(
            (cause, clock.seconds(now)) for cause, clock in zip(StopCause, self.clocks, strict=True)
        )

    def stopped_for(self, now: float) -> float | None:
        """Return the seconds that the machine is stopped now; none if it is not."""
        running = [clock.since for clock in self.clocks if clock.since is not None]
        if self.held is not None:
            running.append(self.held.now)
        return max(0.0, now - running[0]) if running else None

    def _stopped(self, cause: StopCause, now: float) -> Stops:
        clocks = tuple(
            clock.start(now) if other is cause else clock.stop(now)
            for other, clock in zip(StopCause, self.clocks, strict=True)
        )
        return msgspec.structs.replace(self, held=None, cause=cause, clocks=clocks)

    def _cause(self, status: str | None, *, migrating: bool) -> StopCause | None:
        """Return the cause that a run state tells, if it tells one."""
        if status is None or status in _NOT_STOPPED - _CAUSES.keys():
            return None
        if status == "shutdown":
            return self.shutdown or StopCause.OTHER
        if status == "paused":
            return StopCause.MIGRATION if migrating else StopCause.HOST
        return _CAUSES.get(status, StopCause.OTHER)
