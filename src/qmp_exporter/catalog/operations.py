"""The operations: what takes its time and is shown as a span, one entry each.

What is under way is read from the state of a VM. Which events belong to an operation, and what
follows from what, stands in the entries of the events.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from qmp_exporter.catalog.spec import Operation, Tells
from qmp_exporter.catalog.states import FAILED_STOPS, LostCause, Protocol, StopCause
from qmp_exporter.model.changes import (
    Change,
    ClientConnected,
    ClientIncomplete,
    Disconnected,
    MigrationBegan,
    MigrationEnded,
    SessionOpened,
    Stopped,
)
from qmp_exporter.model.inputs import Ask
from qmp_exporter.model.replies import MigrationInfo


if TYPE_CHECKING:
    from collections.abc import Iterable

    from qmp_exporter.model.vm import VM


RESUMED: Final = "qmp_exporter.resumed"
"""Attribute of an operation whose begin was not seen: it was found under way."""

INCOMPLETE: Final = "qmp_exporter.incomplete"
"""Attribute of an operation whose end was not seen."""

SEGMENT: Final = "qemu.operation.segment"
"""Attribute of a span that is not all of its operation: which part it is, from 1."""

EXIT: Final = "qemu.exit.cause"
"""Attribute of what ended because QEMU did."""

AUTH: Final = "qemu.display.auth"

MAX_CLIENTS: Final = 48
"""Clients of the displays of one VM that are told apart; QEMU admits 32 to VNC by default."""

_ONE: Final = ("",)
_NONE: Final = ()


def _one(there: bool) -> Iterable[str]:  # noqa: FBT001 - a row of a table
    return _ONE if there else _NONE


def _clients(vm: VM) -> Iterable[str]:
    """Return a key for each connection: those of one client differ in their number."""
    return islice(
        (
            f"{protocol} {client} {number}"
            for protocol, clients in vm.displays.items()
            for client, peer in clients.peers.items()
            for number in range(peer.open)
        ),
        MAX_CLIENTS,
    )


def _stop_cause(vm: VM) -> StopCause | None:
    """Return why the VM is stopped, as far as that is known."""
    return vm.stops.held.announced if vm.stops.held is not None else vm.stops.cause


def _found_client(_: VM, key: str) -> Change:
    return ClientConnected(Protocol(key.partition(" ")[0]))


MIGRATION: Final = Operation(
    "qemu.migration",
    "A migration, as one end of it sees it: from its setup to its outcome.",
    lambda vm: _one(vm.migration.open),
    lambda vm, _: MigrationBegan(vm.migration.role),
    unseen=lambda vm: vm.migration.began is None,
    awaits=Ask.MIGRATE,
    gathers=True,
)
STOP: Final = Operation(
    "qemu.stop",
    "The machine does not execute: from STOP to RESUME, or to the end of the migration that"
    " stopped it.",
    lambda vm: _one(vm.stops.stopped and vm.status != "postmigrate"),
    lambda vm, _: Stopped(_stop_cause(vm) or StopCause.OTHER, 0.0),
    outlasts=lambda vm: vm.status == "prelaunch",  # it was reset, and waits to be told to go on
    within=MIGRATION,
    belongs=lambda vm: _stop_cause(vm) is StopCause.MIGRATION,
    awaits=Ask.STATUS,
    gathers=True,
)
GUEST_SHUTDOWN: Final = Operation(
    "qemu.guest.shutdown",
    "The guest was asked to power down: from POWERDOWN to SHUTDOWN, or for 5 minutes.",
    lambda vm: _one(vm.powerdown),
    gathers=True,
    timeout=300.0,
)
DUMP: Final = Operation(
    "qemu.dump",
    "A dump of the guest's memory: from the STOP that it made to DUMP_COMPLETED.",
    within=STOP,
    belongs=lambda vm: _stop_cause(vm) is StopCause.SNAPSHOT,
    end_only=True,
)
DISPLAY: Final = Operation(
    "qemu.display.session",
    "A connection of a VNC client or a channel of a SPICE client, from CONNECTED to DISCONNECTED.",
    _clients,
    _found_client,
)
JOB: Final = Operation(
    "qemu.job",
    "A job on a disk or a snapshot: from created to null, where QEMU forgets it.",
    lambda vm: (f"{name} " for name in vm.jobs.known),
)
CONNECT: Final = Operation(
    "qmp.connect",
    "The exporter connects to a monitor: from the dial until the state of the VM was read.",
    lambda vm: _one(vm.watched and not vm.read),
)
ACTIVITY: Final = Operation(
    "qemu.activity",
    "Events that are part of nothing else: up to 100, over up to 30 s.",
)

OPERATIONS: Final = (STOP, MIGRATION, GUEST_SHUTDOWN, DUMP, DISPLAY, JOB, CONNECT, ACTIVITY)
"""All of them; those that gather events in the order in which they do."""

TOLD: Final[dict[type[Change | MigrationInfo], Tells]] = {
    Stopped: Tells(STOP, {"qemu.stop.cause": "cause"}, {c: c for c in FAILED_STOPS}),
    MigrationBegan: Tells(MIGRATION, {"qemu.migration.role": "role"}),
    MigrationEnded: Tells(
        MIGRATION,
        {"qemu.migration.outcome": "outcome", "qemu.migration.role": "role"},
        {"failed": "migration-failed"},
    ),
    MigrationInfo: Tells(
        MIGRATION,
        {
            "qemu.migration.downtime": "downtime_seconds",
            "qemu.migration.transferred": "transferred",
        },
    ),
    ClientConnected: Tells(DISPLAY, {"qemu.display.protocol": "protocol"}),
    SessionOpened: Tells(DISPLAY, {AUTH: "auth", "qemu.display.protocol": "protocol"}),
    ClientIncomplete: Tells(DISPLAY, {"qemu.display.protocol": "protocol"}, error="incomplete"),
    Disconnected: Tells(CONNECT, {"qmp.lost": "reason"}, {c: c for c in LostCause}),
}
"""What changes and replies tell of operations."""

ATTRIBUTES: Final[dict[str, str]] = {
    "qemu.stop.cause": "Why the machine was stopped, as in `qemu_vm_stops_total`.",
    "qemu.migration.role": "Which end of it this is: `source` or `destination`.",
    "qemu.migration.outcome": "`completed`, `failed` or `cancelled`.",
    "qemu.migration.downtime": "Seconds that the guest did not run, as the source tells.",
    "qemu.migration.transferred": "Bytes of memory that were moved, as the source tells.",
    "qemu.dump.status": "`completed` or `failed`.",
    "qemu.dump.written": "Bytes that were written.",
    "qemu.dump.size": "Bytes that the whole dump has.",
    "qemu.display.protocol": "`vnc` or `spice`.",
    AUTH: "How the client logged in, if it did; of SPICE on the main channel only.",
    "qemu.job.type": "What kind of job it is, as QEMU calls it: `mirror`, `backup` ...",
    "qemu.job.outcome": "`completed`, `failed` or `cancelled`, of a job on a disk.",
    "qmp.lost": "How the connection was lost before the state was read.",
    EXIT: "QEMU ended meanwhile: why, as in `qemu_vm_exits_total`.",
    RESUMED: "`true`: the begin was not seen, the operation was found under way.",
    INCOMPLETE: "`true`: the end was not seen.",
    SEGMENT: "Which part of its operation the span is, from 1, where it is not all of it.",
}
"""What the attributes of spans say, besides ``error.type``; the last four are of any span."""

EVERYWHERE: Final = (EXIT, RESUMED, INCOMPLETE, SEGMENT)
