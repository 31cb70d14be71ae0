"""What becomes of an input: the model makes a step of it, and every sink is handed that step."""

from __future__ import annotations

import logging
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from qmp_exporter.model.changes import MigrationEnded
from qmp_exporter.model.event import Event
from qmp_exporter.model.fleet import Fleet
from qmp_exporter.model.inputs import Link
from qmp_exporter.model.transitions import same_until
from qmp_exporter.repeats import Repeats
from qmp_exporter.sinks import Counting


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qmp_exporter.model.fleet import Fed
    from qmp_exporter.model.inputs import Ask, Input
    from qmp_exporter.model.target import Target
    from qmp_exporter.model.vm import VM
    from qmp_exporter.sinks import Recount, Sink, Trace
    from qmp_exporter.telemetry.self_metrics import SelfMetrics


log = logging.getLogger(__name__)

COMPLAIN_EVERY: Final = 60.0
"""Seconds between two log lines about one sink that fails; the metric counts every time."""


class Pipeline:
    """The way of every input, from a monitor to the sinks.

    Args:
        sinks: in the order in which they are handed each step.
        own: the exporter's own metrics.
        decode_error: called with a VM's name and an event, for a line that is not that event.
    """

    def __init__(
        self,
        sinks: tuple[Sink, ...],
        own: SelfMetrics,
        decode_error: Callable[[str, str], None],
    ) -> None:
        self.fleet = Fleet()
        self._sinks = sinks
        counting = [sink for sink in sinks if isinstance(sink, Counting)]
        self._counting = counting if len(counting) == len(sinks) else []  # or some need each event
        self._own = own
        self._decode_error = decode_error
        self._delays = own.histogram("qmp_exporter_event_delay_seconds")
        self._shown: set[str] = set()
        self._repeats: dict[str, Repeats] = {}
        self._complained: dict[str, float] = {}

    def add(self, target: Target) -> None:
        """Take in a VM that was not reached yet."""
        name = self.fleet.add(target)
        vm = self.fleet.vm(target.address)
        self._show(name, vm)
        self._own.add("qmp_exporter_targets", 1, vm.target)

    def retarget(self, target: Target) -> None:
        """Let a VM have another name or other labels, from its next connection on."""
        if self.leave(target.address):
            self.add(target)
        else:
            self.fleet.retarget(target)

    def decode_error(self, address: str, event: str) -> None:
        """Count a line that is not the event that it claims to be."""
        name = self.fleet.name(address)
        if name in self._shown:
            self._decode_error(name, event)

    def leave(self, address: str) -> bool:
        """Drop a VM that was never reached; return whether it was."""
        state = self.fleet.vm(address).target
        name = self.fleet.leave(address)
        if name is None:
            return False
        self._forget(name)
        self._own.add("qmp_exporter_targets", -1, state)
        return True

    def drop(self, address: str) -> None:
        """Drop a VM, whatever is known of it."""
        state = self.fleet.vm(address).target
        self._repeats.pop(address, None)
        for name in self.fleet.drop(address):
            self._forget(name)
        self._own.add("qmp_exporter_targets", -1, state)

    def expire(self, deadline: float, most: int) -> tuple[str, ...]:
        """Drop the series of what ended before ``deadline``, and of all but the last ``most``.

        A target that was named begins anew. Args: ``deadline`` in monotonic seconds.

        Returns:
            The addresses that are not of the fleet any more.
        """
        expired = self.fleet.expire(deadline, most)
        for name in expired.names:
            self._forget(name)
        for _, state in expired.left:
            self._own.add("qmp_exporter_targets", -1, state)
        if expired.early:
            self._own.add("qmp_exporter_vms_forgotten_early_total", expired.early)
        for name, vm in expired.anew:  # also where another VM has its old name by now
            self._show(name, vm)
        return tuple(address for address, _ in expired.left)

    def feed(self, address: str, given: Input) -> tuple[Ask, ...]:
        """Apply an input to a VM and hand the step to every sink; return what to ask."""
        fed = self.fleet.feed(address, given)
        if fed.step.vm is not fed.before:
            self._repeats.pop(address, None)
        for old, new in fed.renames:
            self._rename(old, new)
        if fed.step.changes or not isinstance(given, Event):
            self._note(given, fed)
        if not fed.name:  # ended, and another VM has its name now
            return fed.step.asks
        self._show(fed.name, fed.before)
        trace: Trace | None = None
        for sink in self._sinks:
            try:
                trace = sink.take(fed.name, given, fed.before, fed.step, trace) or trace
            except Exception as err:  # noqa: BLE001 - whatever it is, the others go on
                self._failed(sink, err)
        if isinstance(given, Event):
            self._delays.observe(max(0.0, time() - given.time))
            step = fed.step
            if step.vm is fed.before and not step.changes and not step.asks:
                self._learn(address, fed.name, step.vm, given)
        return fed.step.asks

    def again(self, address: str, lines: Sequence[bytes], start: int, end: int) -> int:
        """Count the events of a VM that came before; return where the first other line is.

        Args:
            address: of its monitor.
            lines: what the monitor said.
            start: where to begin in them.
            end: where to stop at the latest.
        """
        repeats = self._repeats.get(address)
        return start if repeats is None else repeats.take(lines, start, end)

    # ---- parts

    def _show(self, name: str, vm: VM) -> None:
        """Let the sinks take in a VM that they do not have."""
        if name not in self._shown:
            self._shown.add(name)
            self._each(lambda sink: sink.add(name, vm))

    def _learn(self, address: str, name: str, vm: VM, event: Event) -> None:
        """Know an event that changed nothing, if it will not and no sink has to see it again."""
        if not self._counting:
            return
        repeats = self._repeats.get(address)
        if repeats is None:
            repeats = self._repeats[address] = Repeats(self._delays)
        if not repeats.came(event.line):
            return
        until = same_until(vm, event)
        if until <= event.now:
            return
        recounts: list[Recount] = []
        for sink in reversed(self._counting):  # the page, which mostly wants to see it, first
            try:
                recount = sink.again(name, event)
            except Exception as err:  # noqa: BLE001 - whatever it is, it is taken each time
                self._failed(sink, err)
                return
            if recount is None:
                return
            recounts.append(recount)
        repeats.learn(event.line, tuple(recounts), until)

    def _forget(self, name: str) -> None:
        self._shown.discard(name)
        self._repeats.clear()  # by name it is not known whose
        self._each(lambda sink: sink.forget(name))

    def _rename(self, old: str, new: str) -> None:
        self._repeats.clear()
        self._shown.discard(old)
        self._shown.add(new)
        self._each(lambda sink: sink.rename(old, new))

    def _note(self, given: Input, fed: Fed) -> None:
        """Keep the exporter's own metrics of what an input meant."""
        for change in fed.step.changes:
            if isinstance(change, MigrationEnded) and change.seconds is not None:
                self._own.histogram(
                    "qmp_exporter_fleet_migration_duration_seconds", change.role, change.outcome
                ).observe(change.seconds)
        if isinstance(given, Link) and fed.before.target is not fed.step.vm.target:
            self._own.add("qmp_exporter_targets", -1, fed.before.target)
            self._own.add("qmp_exporter_targets", 1, fed.step.vm.target)

    def _each(self, do: Callable[[Sink], None]) -> None:
        """Do something with every sink; one that fails does not keep it from the others."""
        for sink in self._sinks:
            try:
                do(sink)
            except Exception as err:  # noqa: BLE001 - whatever it is, the others go on
                self._failed(sink, err)

    def _failed(self, sink: Sink, err: Exception) -> None:
        self._own.add("qmp_exporter_sink_errors_total", 1, sink.name)
        now = monotonic()
        if now - self._complained.get(sink.name, float("-inf")) >= COMPLAIN_EVERY:
            self._complained[sink.name] = now
            log.error("the sink %s failed", sink.name, exc_info=err)
