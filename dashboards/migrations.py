"""The dashboard of migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards import states
from dashboards.panels import (
    ORANGE,
    Query,
    board,
    counts,
    during,
    fill,
    levels,
    number,
    of,
    own,
    quantiles,
    rise,
    rows,
    state_of,
    timeline,
)


if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard


SOURCE: Final = 'role="source"'
UNDER_WAY: Final = 'status!~"none|completed|failed|cancelled"'


def build() -> Dashboard:
    """Return it."""
    tiles = tuple(
        number(
            f"Migrations {outcome}",
            f"Migrations {outcome} in the time shown, counted at their source.",
            during(of("qemu_migrations_total", SOURCE, f'outcome="{outcome}"')),
            bad=color,
        ).span(6)
        for outcome, color in (("completed", ""), ("failed", ORANGE), ("cancelled", ORANGE))
    )
    return fill(
        board("migrations", "QEMU / Migrations", "Which VMs move, how long it takes, how it ends."),
        {
            "": (
                number(
                    "Under way",
                    "VMs with a migration under way, both ends counted.",
                    f"count({of('qemu_migration_status', UNDER_WAY)} == 1)",
                    bad="",
                ).span(6),
                *tiles,
                timeline(
                    "Status",
                    "The status of each VM's migration under way, or of the last one.",
                    Query(
                        state_of(
                            "qemu_migration_status", "status", states.MIGRATION, "instance", "vm"
                        ),
                        "{{vm}}",
                    ),
                    states.MIGRATION,
                    "unknown",
                ),
            ),
            "How they go": (
                levels(
                    "Passes",
                    "In which pass over the guest's memory a migration is; where it rises on and"
                    " on, the guest writes faster than the network takes it.",
                    Query(of("qemu_migration_pass"), "{{vm}}"),
                ),
                counts(
                    "Outcomes",
                    "Migrations that ended, at their source, by outcome; a point of it leads to the"
                    " trace.",
                    Query(rise(of("qemu_migrations_total", SOURCE), "outcome"), "{{outcome}}"),
                ),
                levels(
                    "Duration",
                    "How long migrations of all VMs took since the exporters began, whatever their"
                    " outcome: the median, and the slowest hundredth.",
                    *quantiles(own("qmp_exporter_fleet_migration_duration_seconds_bucket", SOURCE)),
                    unit="s",
                ),
                levels(
                    "Downtime of the last one",
                    "How long the guest did not run in the last migration of its VM.",
                    Query(of("qemu_migration_last_downtime_seconds"), "{{vm}}"),
                    unit="s",
                ),
                rows(
                    "How long the last one took",
                    "The last migration of each VM whose begin was seen.",
                    of("qemu_migration_last_duration_seconds"),
                    {"vm": "VM", "instance": "Exporter", "Value": "Took"},
                    unit="s",
                ),
                rows(
                    "What the last one moved",
                    "Memory that the last migration of each VM moved.",
                    of("qemu_migration_last_transferred_bytes"),
                    {"vm": "VM", "instance": "Exporter", "Value": "Moved"},
                    unit="bytes",
                ),
                counts(
                    "Stops for a migration",
                    "How often a machine was stopped for a migration: the downtime begins.",
                    Query(rise(of("qemu_vm_stops_total", 'cause="migration"'), "vm"), "{{vm}}"),
                ),
                counts(
                    "Displays handed over",
                    "SPICE clients that were told to go to the other host.",
                    Query(rise(of("qemu_spice_migrations_total"), "vm"), "{{vm}}"),
                ),
            ),
        },
    )
