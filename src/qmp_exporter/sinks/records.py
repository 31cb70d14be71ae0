"""The records sink: each event as a log record of OpenTelemetry, with the span that it is on.

It is imported only where log records are exported, as OpenTelemetry is large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qmp_exporter.model.event import Event
from qmp_exporter.sinks import NOBODY, Trace
from qmp_exporter.sinks.attributes import nanoseconds
from qmp_exporter.telemetry.otel.events import on_span


if TYPE_CHECKING:
    from collections.abc import Callable

    from qmp_exporter.model.inputs import Identity, Input
    from qmp_exporter.model.vm import VM, Step
    from qmp_exporter.sinks.attributes import Describer
    from qmp_exporter.telemetry.otel.events import Logger


class RecordsSink:
    """Emits a log record for each event.

    Args:
        logger: from who answers at a monitor, and the VM's name, to the logger of that VM.
        describe: from an event and its VM to what is told of it.
    """

    name: Final = "records"

    def __init__(self, logger: Callable[[Identity, str], Logger], describe: Describer) -> None:
        self._logger = logger
        self._describe = describe
        self._vms: dict[str, tuple[Identity, Logger]] = {}

    def add(self, vm: str, state: VM = NOBODY) -> None:
        """Keep nothing until there is an event."""

    def take(self, vm: str, given: Input, before: VM, step: Step, trace: Trace | None) -> None:  # noqa: ARG002 - a sink
        """Emit a record of an event."""
        identity = step.vm.identity
        if not isinstance(given, Event) or identity is None:
            return
        known = self._vms.get(vm)
        if known is None or known[0] != identity:
            known = self._vms[vm] = identity, self._logger(identity, vm)
        on = on_span(trace.trace_id, trace.span_id) if trace else b""
        known[1].emit(self._describe(given, step.vm), nanoseconds(given.time), on)

    def rename(self, old: str, new: str) -> None:
        """Go on under another name: the next record has a logger of that name."""
        self._vms.pop(old, None)
        self._vms.pop(new, None)

    def forget(self, vm: str) -> None:
        """Drop the logger of a VM."""
        self._vms.pop(vm, None)
