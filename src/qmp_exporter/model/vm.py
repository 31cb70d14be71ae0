"""A VM, and how every input changes it.

``apply`` is the whole of it: a pure function from a VM and an input to a step. What an event means
beyond its catalog entry stands in ``transitions``; replies and links stand here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from qmp_exporter.catalog.states import (
    OTHER,
    RUN_STATES,
    ExitCause,
    Protocol,
    Role,
    TargetState,
)
from qmp_exporter.model.changes import (
    Change,
    Connected,
    Exited,
)
from qmp_exporter.model.clock import Clock
from qmp_exporter.model.disks import Disks
from qmp_exporter.model.display import Clients
from qmp_exporter.model.inputs import Ask, Identity
from qmp_exporter.model.jobs import Jobs
from qmp_exporter.model.migration import Migration
from qmp_exporter.model.stops import Stops


if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmp_exporter.catalog.events.block import IoError
    from qmp_exporter.catalog.spec import Values


class Reading(msgspec.Struct, frozen=True, gc=False):
    """A value that an event or a query set.

    Attributes:
        value: in the unit of its metric.
        time: Unix seconds by QEMU's stamp.
    """

    value: float
    time: float


class VM(msgspec.Struct, frozen=True):
    """What is known of a virtual machine.

    Attributes:
        target: what is known of its monitor.
        watched: whether a session is established, even if QEMU does not answer now.
        read: whether the state was read since then.
        identity: who answered last; none before the first contact.
        alive: whether that QEMU process is not known to be gone.
        status: its QAPI RunState, ``other`` for one unknown; empty before it was read.
        stops: why and how long it is and was stopped.
        ending: what the end of the process would be called by the events so far.
        powerdown: whether the guest was asked to power down and did not yet.
        asleep: whether the guest sleeps in memory, even if it is stopped now.
        reset_at: Unix seconds of the first RESET of the last burst, or of the RESUME that let a
            machine boot which was stopped when it was reset.
        migration: the migration under way, or the last one.
        displays: its clients, for the protocols that it serves.
        disks: its disks.
        jobs: those that QEMU knows, and how long the last ones took.
        readings: values of gauges set by events, by metric, then by labels.
        unobserved: seconds in which events may have been missed.
        asked: commands that are not answered yet.
        doubted: those of them whose answer may be older than an event that came before it.
    """

    target: TargetState = TargetState.CONNECTING
    watched: bool = False
    read: bool = False
    identity: Identity | None = None
    alive: bool = False
    status: str = ""
    stops: Stops = Stops()
    ending: ExitCause | None = None
    powerdown: bool = False
    asleep: bool = False
    reset_at: float = float("-inf")
    migration: Migration = Migration()
    displays: Mapping[Protocol, Clients] = {}
    disks: Disks = Disks()
    jobs: Jobs = Jobs()
    readings: Mapping[str, Mapping[Values, Reading]] = {}
    unobserved: Clock = Clock()
    asked: frozenset[Ask] = frozenset()
    doubted: frozenset[Ask] = frozenset()

    @property
    def up(self) -> bool:
        """Whether it is connected and answers."""
        return self.target is TargetState.CONNECTED

    @property
    def ended(self) -> bool:
        """Whether it was seen, and its process is gone."""
        return self.identity is not None and not self.alive

    def unwatched(self, now: float) -> float:
        """Return the seconds in which events may have been missed; never less than before.

        The first second after a connection is told of when it is over: it may be the end of QEMU.
        """
        clock = self.unobserved
        return clock.total if self.ending_at(now) else clock.seconds(now)

    def ending_at(self, now: float) -> bool:
        """Whether its connection was lost so lately that QEMU may be about to end."""
        since = self.unobserved.since
        return self.alive and since is not None and now - since <= ENDING

    def reading(self, metric: str, labels: Values, reading: Reading) -> VM:
        """Return the VM with another value of a gauge."""
        rows = {**self.readings.get(metric, {}), labels: reading}
        return msgspec.structs.replace(self, readings={**self.readings, metric: rows})

    def disk_of(self, error: IoError) -> str:
        """Return the name of the disk that an event speaks of."""
        return self.disks.name_of(error)


class Step(msgspec.Struct, frozen=True, gc=False):
    """What an input made of a VM.

    Attributes:
        vm: the VM after it; the very same object if nothing changed.
        changes: what happened, for the sinks.
        asks: commands to send.
    """

    vm: VM
    changes: tuple[Change, ...] = ()
    asks: tuple[Ask, ...] = ()


ENDING: Final = 1.0
"""Seconds from the loss of a connection to the known end of QEMU that are taken for its ending."""

_NOTHING: Final[frozenset[Ask]] = frozenset()
GONE: Final = frozenset({TargetState.GONE, TargetState.REFUSED})


def asking(vm: VM, changes: tuple[Change, ...], *asks: Ask) -> Step:
    """Return a step that asks for what is not asked for yet, and doubts what is."""
    vm = doubting(vm, *asks)
    new = tuple(ask for ask in asks if ask not in vm.asked)
    if not new:
        return Step(vm, changes)
    return Step(msgspec.structs.replace(vm, asked=vm.asked.union(new)), changes, new)


def doubting(vm: VM, *asks: Ask) -> VM:
    """Return the VM after an event that answers to these may not know of, if they are awaited.

    QEMU sends a reply one turn of its main loop after it made it, and what happens in that turn
    before it.
    """
    doubted = vm.doubted.union(vm.asked.intersection(asks))
    return vm if doubted == vm.doubted else msgspec.structs.replace(vm, doubted=doubted)


def linked(vm: VM, state: TargetState, now: float) -> VM:
    """Return the VM with its monitor in another state, and its clocks with it."""
    blind = not vm.watched and state not in GONE
    unobserved = vm.unobserved.start(now) if blind else vm.unobserved.stop(now)
    return msgspec.structs.replace(vm, target=state, unobserved=unobserved)


def connected(vm: VM, identity: Identity, time: float, now: float) -> Step:
    """Return the VM with a session established; its state is read next."""
    fresh = vm.identity is None or not vm.alive or not identity.same_process(vm.identity)
    changes: tuple[Change, ...] = ()
    if fresh and vm.alive:  # another process took the address, unseen
        step = ended(vm, time, now)
        vm, changes = step.vm, step.changes
    if fresh:
        # Another process has its own clock, ports and dumps; nothing can tell what they read.
        vm = msgspec.structs.replace(
            vm,
            stops=Stops(clocks=vm.stops.clocks),
            powerdown=False,
            asleep=False,
            reset_at=float("-inf"),
            migration=Migration(),
            disks=Disks(),
            jobs=Jobs(),
            readings={},
        )
    vm = msgspec.structs.replace(
        vm,
        watched=True,
        read=False,
        identity=identity,
        alive=True,
        ending=None,
        asked=_NOTHING,
        doubted=_NOTHING,
    )
    return Step(linked(vm, TargetState.CONNECTED, now), (*changes, Connected(fresh)))


def lost(vm: VM, state: TargetState, now: float) -> Step:
    """Return the VM after its session ended, the process perhaps alive."""
    stops, changes = vm.stops.settle(None, now, migrating=False)
    vm = msgspec.structs.replace(
        vm, watched=False, stops=stops.ended(now), asked=_NOTHING, doubted=_NOTHING
    )
    return Step(linked(vm, state, now), changes)


def ended(vm: VM, time: float, now: float) -> Step:
    """Return the VM after its process is known to be gone."""
    cause = vm.ending or ExitCause.CRASH
    if vm.ending is None and (vm.status in _MOVED or vm.migration.lost):
        cause = ExitCause.MIGRATION
    stops, changes = vm.stops.settle(None, now, migrating=False)
    unobserved = Clock(vm.unobserved.total) if vm.ending_at(now) else vm.unobserved
    migration = vm.migration
    failed: tuple[Change, ...] = ()
    if migration.open:
        migration, failed = migration.ended("failed", time)
    vm = msgspec.structs.replace(
        vm,
        watched=False,
        alive=False,
        status="",
        stops=stops.ended(now),
        ending=None,
        powerdown=False,
        migration=migration,
        displays={protocol: Clients() for protocol in vm.displays},
        jobs=msgspec.structs.replace(vm.jobs, known={}),
        unobserved=unobserved,
        asked=_NOTHING,
        doubted=_NOTHING,
    )
    return Step(vm, (*changes, *failed, Exited(cause)))


_MOVED: Final = frozenset({"postmigrate", "inmigrate"})
_AWAKE: Final = frozenset({"running", "prelaunch"})


def with_status(vm: VM, status: str, now: float) -> Step:
    """Return the VM with its run state read."""
    if status == "finish-migrate" and vm.migration.status == "completed":
        status = "postmigrate"  # QEMU reports the end of a migration just before it sets this
    shown = status if status in RUN_STATES else OTHER
    stops, changes = vm.stops.settle(status, now, migrating=vm.migration.switched)
    migration = vm.migration
    if shown == "inmigrate":
        migration = msgspec.structs.replace(migration, role=Role.DESTINATION)
    asleep = shown == "suspended" or (vm.asleep and shown not in _AWAKE)
    vm = msgspec.structs.replace(vm, status=shown, stops=stops, migration=migration, asleep=asleep)
    return Step(vm, changes)
