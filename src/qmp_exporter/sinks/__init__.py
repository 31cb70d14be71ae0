"""Where steps go: each sink takes what happened to a VM and knows nothing of the others."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import msgspec

from qmp_exporter.model.vm import VM


if TYPE_CHECKING:
    from collections.abc import Callable

    from qmp_exporter.model.event import Event
    from qmp_exporter.model.inputs import Input
    from qmp_exporter.model.vm import Step


NOBODY: Final = VM()
"""A VM of which nothing is known."""

LATE: Final = 10.0
"""Seconds that an event may come after a younger one; if it is more, the clock was set back."""


class Trace(msgspec.Struct, frozen=True, gc=False):
    """Where a step stands in a trace.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 of them.
    """

    trace_id: str
    span_id: str


class Recount(msgspec.Struct, frozen=True, gc=False):
    """How a sink counts an event that comes again and changes nothing else.

    Attributes:
        count: called with the stamps of those that came, in Unix seconds.
        until: monotonic seconds at which the sink wants to take one itself again.
    """

    count: Callable[[list[float]], None]
    until: float = inf


class Sink(Protocol):
    """What the application hands every step to."""

    @property
    def name(self) -> str:
        """What it is called in metrics and the log."""

    def add(self, vm: str, state: VM = NOBODY) -> None:
        """Take in a VM of that name, and what is known of it."""

    def take(
        self, vm: str, given: Input, before: VM, step: Step, trace: Trace | None
    ) -> Trace | None:
        """Take what an input made of a VM.

        Args: ``trace`` is where a sink before this one put it; none if none did.

        Returns:
            Where this one put it, for the sinks after it; none to leave that as it is.
        """

    def rename(self, old: str, new: str) -> None:
        """Go on with a VM under another name, joining what that name had before."""

    def forget(self, vm: str) -> None:
        """Drop what is kept of a VM."""


@runtime_checkable
class Counting(Sink, Protocol):
    """A sink to which events that come again and change nothing else are numbers.

    A sink that is none has to take each event.
    """

    def again(self, vm: str, event: Event) -> Recount | None:
        """Return how to count an event that it took, should it come again.

        That is good as long as the VM is as it was. None where it has to take the next one, too.
        """
