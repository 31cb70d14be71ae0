"""The events that the exporter knows, one entry each, in the files of QEMU's QAPI schema."""

from __future__ import annotations

from typing import Final

from qmp_exporter.catalog.events import (
    block,
    devices,
    jobs,
    memory,
    migration,
    network,
    run_state,
    ui,
)
from qmp_exporter.catalog.spec import EventSpec
from qmp_exporter.catalog.states import OTHER


EVENTS: Final[tuple[EventSpec, ...]] = (
    *run_state.EVENTS,
    *block.EVENTS,
    *migration.EVENTS,
    *ui.EVENTS,
    *devices.EVENTS,
    *jobs.EVENTS,
    *memory.EVENTS,
    *network.EVENTS,
)

BY_NAME: Final[dict[str, EventSpec]] = {spec.name: spec for spec in EVENTS}

UNCATALOGUED: Final = EventSpec(
    OTHER,
    "Any event that is not in the catalog; its name is in the log and in OpenTelemetry.",
    "",
    samples=(None,),
)
"""What stands in for an event without an entry."""
