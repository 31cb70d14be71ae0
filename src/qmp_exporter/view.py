"""What people are shown: put together from the fleet and from what the page sink remembers.

Thread-safe: what is known of a VM is frozen, and the rest is read in one go.
"""

from __future__ import annotations

from datetime import UTC, datetime
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from qmp_exporter import __version__
from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.catalog.states import TargetState
from qmp_exporter.web import Display, Machine, Migrated, Overview, Row


if TYPE_CHECKING:
    from qmp_exporter.model.fleet import Fleet, Member
    from qmp_exporter.model.vm import VM
    from qmp_exporter.sinks.page import PageSink


_PASS: Final = "qemu_migration_pass"  # noqa: S105 - a metric
# What may stand in the journal: events, and what became of a monitor.
_EVENTS: Final = (*sorted(spec.name for spec in EVENTS), *sorted(map(str, TargetState)))


class View:
    """Looks at the VMs for the web side.

    Args:
        fleet: the VMs.
        page: what happened to them.
        links: address and text of each link to show.
    """

    def __init__(self, fleet: Fleet, page: PageSink, links: tuple[tuple[str, str], ...]) -> None:
        self._fleet = fleet
        self._page = page
        self._links = links

    def overview(self) -> Overview:
        """Return what the landing page shows."""
        now = monotonic()
        # A VM may lose its name to another one meanwhile.
        named = [(member.name, member) for member in self._fleet]
        return self._overview(tuple([self._row(name, m, now) for name, m in named if name]))

    def bare(self) -> Overview:
        """Return what is shown on pages without VMs."""
        return self._overview(())

    def machine(self, name: str) -> Machine | None:
        """Return what the page of a VM shows; none where nobody has that name."""
        member = self._fleet.named(name)
        if member is None:
            return None
        vm, now = member.vm, monotonic()
        glance = self._page.glance(name)
        return Machine(
            overview=self.bare(),
            row=self._row(name, member, now),
            facts=_facts(member),
            events=tuple(sorted(glance.events.items(), key=lambda item: (-item[1], item[0]))),
            stopped=tuple((str(c), s) for c, s in vm.stops.seconds(now) if s > 0),
            unobserved=vm.unwatched(now),
            disks=tuple(sorted(vm.disks.status.items(), key=lambda disk: disk[1] == "ok")),
            displays=tuple(
                Display(str(protocol), clients.connections, clients.sessions)
                for protocol, clients in vm.displays.items()
            ),
            migration=_migrated(vm),
            entries=tuple(reversed(tuple(glance.timeline))),
        )

    def _overview(self, rows: tuple[Row, ...]) -> Overview:
        return Overview(__version__, time(), rows, self._links, _EVENTS)

    def _row(self, name: str, member: Member, now: float) -> Row:
        vm = member.vm
        glance = self._page.glance(name)
        return Row(
            vm=name,
            monitor=member.target.address,
            state=vm.target,
            status=vm.status,
            cause=vm.stops.cause or glance.ended,
            stopped_seconds=vm.stops.stopped_for(now),
            events=glance.total,
            last_event=glance.last_event,
            last_event_time=glance.last_time,
            io_errors=glance.of("BLOCK_IO_ERROR"),
            panics=glance.of("GUEST_PANICKED"),
            watchdogs=glance.of("WATCHDOG"),
            sessions=sum(clients.sessions for clients in vm.displays.values()),
            migration=vm.migration.status if vm.migration.open else "",
            passes=_passes(vm) if vm.migration.open else 0,
            disks=tuple([disk for disk in vm.disks.status.items() if disk[1] != "ok"]),
        )


def _facts(member: Member) -> tuple[tuple[str, str], ...]:
    facts = [("Monitor", member.target.address)]
    if (known := member.vm.identity) is not None:
        started = ""
        if known.started is not None:
            started = f"{datetime.fromtimestamp(known.started, UTC):%Y-%m-%d %H:%M:%S} UTC"
        facts += [
            ("Name told by QEMU", known.name),
            ("UUID", known.uuid),
            ("QEMU", " ".join(filter(None, (known.qemu_version, known.arch)))),
            ("Process", "" if known.pid is None else str(known.pid)),
            ("Started", started),
            *known.labels,
        ]
    return tuple(fact for fact in facts if fact[1])


def _migrated(vm: VM) -> Migrated | None:
    last = vm.migration
    if not last.status:
        return None
    return Migrated(
        last.status, str(last.role), _passes(vm), last.seconds, last.downtime, last.transferred
    )


def _passes(vm: VM) -> int:
    reading = vm.readings.get(_PASS, {}).get(())
    return 0 if reading is None else int(reading.value)
