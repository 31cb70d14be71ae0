"""``apply``: the one way in which anything changes a VM."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.catalog.states import Protocol
from qmp_exporter.catalog.text import label_text
from qmp_exporter.model.changes import Change, Disconnected, Overflowed
from qmp_exporter.model.disks import MAX_DISKS, disks
from qmp_exporter.model.display import SPICE_MAIN, Clients, clients, corrected
from qmp_exporter.model.event import Event
from qmp_exporter.model.inputs import Ask, Input, Link, Reply
from qmp_exporter.model.replies import (
    Balloon,
    BlockDevices,
    BlockStats,
    JobInfos,
    MigrationInfo,
    Spice,
    Status,
    VncServers,
)
from qmp_exporter.model.transitions import TRANSITIONS
from qmp_exporter.model.vm import (
    GONE,
    VM,
    Reading,
    Step,
    asking,
    connected,
    ended,
    linked,
    lost,
    with_status,
)


if TYPE_CHECKING:
    from collections.abc import Callable

    from qmp_exporter.catalog.spec import LastValue


MAX_READINGS: Final = 256
"""Label sets of one gauge that an event sets, for one VM."""

MOST_EARLY: Final = 100
"""Questions for the outcome of a migration that QEMU has not reckoned yet; mostly two will do."""

_BALLOON: Final = "qemu_balloon_actual_bytes"


def apply(vm: VM, given: Input) -> Step:
    """Return what an input makes of a VM: the VM after it, what happened, and what to ask.

    It raises nothing: what cannot be right was refused by the decoder.
    """
    step = _step(vm, given)
    if step.vm is not vm and step.vm == vm:
        return msgspec.structs.replace(step, vm=vm)
    return step


def _step(vm: VM, given: Input) -> Step:
    if isinstance(given, Event):
        return _event(vm, given)
    return _reply(vm, given) if isinstance(given, Reply) else _link(vm, given)


def _event(vm: VM, event: Event) -> Step:
    transition = TRANSITIONS.get(event.spec.name)
    step = transition(vm, event) if transition else Step(vm)
    return _set(step, event) if event.spec.gauges else step


def _set(step: Step, event: Event) -> Step:
    """Return the step with the gauges that the event sets."""
    vm, changes = step.vm, step.changes
    for name, field, labels in _GAUGES[event.spec.name]:
        values = tuple(label_text(read(event.data)) for read in labels)
        rows = vm.readings.get(name, {})
        old = rows.get(values)
        if old is not None and event.time < old.time:
            continue  # delayed by QEMU's rate limit, overtaken by a newer one
        if old is None and len(rows) >= MAX_READINGS:
            changes = (*changes, Overflowed(name))
            continue
        vm = vm.reading(name, values, Reading(+field(event.data), event.time))
    return Step(vm, changes, step.asks)


def _compiled(
    gauge: LastValue,
) -> tuple[str, Callable[[Any], float], tuple[Callable[[Any], str], ...]]:
    return gauge.name, attrgetter(gauge.field), tuple(attrgetter(b.source) for b in gauge.labels)


_GAUGES: Final = {spec.name: tuple(map(_compiled, spec.gauges)) for spec in EVENTS}


def _link(vm: VM, link: Link) -> Step:
    if link.identity is not None:
        return connected(vm, link.identity, link.time, link.now)
    changes: tuple[Change, ...] = ()
    if vm.watched and link.lost is not None:
        step = lost(vm, link.state, link.now)
        vm, changes = step.vm, (*step.changes, Disconnected(link.lost))
    if link.state in GONE and vm.alive:
        step = ended(vm, link.time, link.now)
        vm, changes = step.vm, (*changes, *step.changes)
    if link.read:
        vm = msgspec.structs.replace(vm, read=True)
    return Step(linked(vm, link.state, link.now), changes)


def _reply(vm: VM, reply: Reply) -> Step:  # noqa: C901, PLR0911 - a return for each kind of reply
    if reply.command in vm.asked:
        again = vm.doubted & {reply.command} if reply.value is not None else frozenset()
        asked, doubted = vm.asked - {reply.command} | again, vm.doubted - {reply.command}
        vm = msgspec.structs.replace(vm, asked=asked, doubted=doubted)
        if again:
            return Step(vm, (), tuple(again))
    match reply.value:
        case Status(status=status):
            return with_status(vm, status, reply.now)
        case BlockDevices() as devices:
            running = vm.status == "running"
            known = disks(devices, reply.time, vm.disks.asked, running=running)
            crowded = len(devices.devices) > MAX_DISKS
            known = msgspec.structs.replace(known, failures=vm.disks.failures)
            vm = msgspec.structs.replace(vm, disks=known)
            return Step(vm, (Overflowed("qemu_block_io_status"),) if crowded else ())
        case BlockStats() as stats:
            return Step(msgspec.structs.replace(vm, disks=vm.disks.counted(stats)))
        case MigrationInfo() as info:
            vm = msgspec.structs.replace(vm, migration=vm.migration.read(info))
            unreckoned = info.early and vm.migration.early < MOST_EARLY
            return asking(vm, (), Ask.MIGRATE) if unreckoned else Step(vm)
        case VncServers(servers=servers):
            peers = ((f"{c.host} {c.service}", True) for s in servers for c in s.clients)
            return Step(_seen(vm, Protocol.VNC, clients(peers))) if servers else Step(vm)
        case Spice(enabled=True, channels=channels):
            found = ((f"{c.host} {c.port}", c.channel_type == SPICE_MAIN) for c in channels)
            return Step(_seen(vm, Protocol.SPICE, clients(found)))
        case JobInfos(jobs=jobs):
            read = vm.jobs.read((job.id, job.status) for job in jobs)
            return Step(msgspec.structs.replace(vm, jobs=read))
        case Balloon(actual=actual):
            return Step(vm.reading(_BALLOON, (), Reading(actual, reply.time)))
        case None if reply.command == Ask.STATUS:
            stops, changes = vm.stops.settle(None, reply.now, migrating=False)
            return Step(msgspec.structs.replace(vm, stops=stops), changes)
        case _:
            return Step(vm)


def _seen(vm: VM, protocol: Protocol, found: Clients) -> VM:
    known = vm.displays.get(protocol, Clients())
    return msgspec.structs.replace(vm, displays={**vm.displays, protocol: corrected(known, found)})
