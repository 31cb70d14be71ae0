"""The log sink: each event as a line of JSON, for those who collect logs.

The line has what QEMU said, so also what is no label: the text of an error, the arguments of a
panic. Only the addresses of clients are left out, which are people's.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from qmp_exporter.model.event import Event
from qmp_exporter.sinks import NOBODY
from qmp_exporter.sinks.raw import data_of
from qmp_exporter.telemetry.logs import iso


if TYPE_CHECKING:
    from collections.abc import Callable

    from qmp_exporter.model.inputs import Input
    from qmp_exporter.model.vm import VM, Step
    from qmp_exporter.sinks import Trace


MAX_LINE: Final = 8 * 1024
"""Characters of a line; of an event whose line would be longer, the data is left out."""

REASONS: Final = ("rate", "queue")
"""Why an event gets no line: too many a second, or no room for one more."""


class LogSink:
    """Writes a line for each event, as many as it may.

    Args:
        write: takes a line; returns whether there was room for it.
        allowed: returns whether there may be one more line now.
        dropped: called with the reason of each event that gets no line, one of ``REASONS``.
    """

    name: Final = "log"

    def __init__(
        self,
        write: Callable[[str], bool],
        allowed: Callable[[], bool],
        dropped: Callable[[str], None],
    ) -> None:
        self._write = write
        self._allowed = allowed
        self._dropped = dropped

    def add(self, vm: str, state: VM = NOBODY) -> None:
        """Keep nothing: a line is all there is."""

    def take(self, vm: str, given: Input, before: VM, step: Step, trace: Trace | None) -> None:  # noqa: ARG002 - a sink
        """Write an event."""
        if not isinstance(given, Event):
            return
        if not self._allowed():
            self._dropped("rate")
        elif not self._write(line_of(vm, given)):
            self._dropped("queue")

    def rename(self, old: str, new: str) -> None:
        """Go on with the new name: lines that were written have the old one."""

    def forget(self, vm: str) -> None:
        """Nothing is kept."""


def line_of(vm: str, event: Event) -> str:
    """Return an event as a line of JSON, all of it ASCII and without a line break in it."""
    fields: dict[str, Any] = {
        "ts": iso(event.time, "microseconds"),
        "level": event.spec.severity.name.lower(),
        "vm": vm,
        "event": event.name,
    }
    with suppress(RecursionError):  # deeper than it can be written, though it could be read
        line = json.dumps(fields | {"data": data_of(event.line)})
        if len(line) <= MAX_LINE:
            return line
    return json.dumps(fields | {"event": event.name[: MAX_LINE // 16], "truncated": True})
