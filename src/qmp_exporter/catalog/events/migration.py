"""Events of QEMU's qapi/migration.json, and the end of a SPICE migration (qapi/ui.json)."""

from __future__ import annotations

from typing import Final

import msgspec

from qmp_exporter.catalog.operations import MIGRATION
from qmp_exporter.catalog.spec import (
    NONE,
    Counter,
    EventSpec,
    Int,
    Label,
    LastValue,
    Payload,
    Severity,
)
from qmp_exporter.catalog.states import (
    COLO_EXIT_REASONS,
    COLO_MODES,
    MIGRATION_STATUSES,
    VFIO_STATES,
)


SOURCE: Final = "migration.json"


class Migration(Payload, frozen=True):
    """Data of MIGRATION: a QAPI MigrationStatus."""

    status: str

    @property
    def failure(self) -> str:
        """What kind of failure it is, if it is one."""
        return "migration-failed" if self.status == "failed" else ""


class MigrationPass(Payload, frozen=True):
    """Data of MIGRATION_PASS.

    Attributes:
        pass_: the number of the pass over the guest's memory, from 1.
    """

    pass_: Int = msgspec.field(name="pass")


class VfioMigration(Payload, frozen=True):
    """Data of VFIO_MIGRATION: a QAPI QapiVfioMigrationState."""

    device_id: str
    device_state: str


class ColoExit(Payload, frozen=True):
    """Data of COLO_EXIT: a QAPI COLOMode and COLOExitReason."""

    mode: str
    reason: str


EVENTS: Final = (
    EventSpec(
        "MIGRATION",
        "A migration went to another status. Sent only with the migration capability `events`.",
        SOURCE,
        payload=Migration,
        samples=({"status": "active"}, {"status": "completed"}),
        shows=(Label("status", MIGRATION_STATUSES),),
        operation=MIGRATION,
        note="Sets `qemu_migration_status`; an end is counted in `qemu_migrations_total`.",
    ),
    EventSpec(
        "MIGRATION_PASS",
        "The source began another pass over the guest's memory.",
        SOURCE,
        payload=MigrationPass,
        samples=({"pass": 2},),
        operation=MIGRATION,
        counters=(
            Counter(
                "qemu_migration_passes_total",
                "Passes over the guest's memory begun, over all migrations of this source; QEMU 11"
                " does not tell of the first of each. QMP event MIGRATION_PASS.",
            ),
        ),
        gauges=(
            LastValue(
                "qemu_migration_pass",
                "Pass over the guest's memory that the current or last migration has reached, 0"
                " before the first that QEMU tells of. QMP event MIGRATION_PASS.",
                "pass_",
            ),
        ),
    ),
    EventSpec(
        "SPICE_MIGRATE_COMPLETED",
        "The SPICE clients were handed to the destination of a migration.",
        "ui.json",
        samples=(None,),
        operation=MIGRATION,
        counters=(
            Counter(
                "qemu_spice_migrations_total",
                "Completed hand-overs of SPICE clients. QMP event SPICE_MIGRATE_COMPLETED.",
            ),
        ),
    ),
    EventSpec(
        "VFIO_MIGRATION",
        "A passed-through device went to another state of its migration. From QEMU 9.1 on, where"
        " the device is told to send it.",
        "vfio.json",
        rare=True,
        payload=VfioMigration,
        samples=(
            {
                "device-id": "hostdev0",
                "qom-path": "/machine/peripheral/hostdev0",
                "device-state": "stop",
            },
        ),
        operation=MIGRATION,
        counters=(
            Counter(
                "qemu_vfio_migration_changes_total",
                "Changes of the migration state of passed-through devices, by the new state. QMP"
                " event VFIO_MIGRATION.",
                (
                    Label("device", field="device_id"),
                    Label("state", VFIO_STATES, field="device_state"),
                ),
                preset=NONE,
            ),
        ),
    ),
    EventSpec(
        "COLO_EXIT",
        "The machine is not kept in two copies any more (COLO).",
        SOURCE,
        rare=True,
        payload=ColoExit,
        samples=({"mode": "primary", "reason": "request"},),
        severity=Severity.WARN,
        counters=(
            Counter(
                "qemu_colo_exits_total",
                "Ends of the mode in which the machine has two copies, by this one's part and the"
                " reason. QMP event COLO_EXIT.",
                (Label("mode", COLO_MODES), Label("reason", COLO_EXIT_REASONS)),
                preset=NONE,
            ),
        ),
    ),
)
