"""Names for the integers of the ACPI method _OST.

Source: ACPI Specification 6.5, section 6.3.5 "_OST (OSPM Status Indication)" with its tables of
source events and status codes, and section 5.6.6 "Device Object Notifications".
"""

from __future__ import annotations

from typing import Final

from qmp_exporter.catalog.states import OTHER


SOURCES: Final = {
    0x00: "bus-check",
    0x01: "device-check",
    0x02: "device-wake",
    0x03: "eject-request",
    0x04: "device-check-light",
    0x05: "frequency-mismatch",
    0x06: "bus-mode-mismatch",
    0x07: "power-fault",
    0x08: "capabilities-check",
    0x09: "device-pld-check",
    0x0B: "system-locality-update",
    0x0D: "system-resource-affinity-update",
    0x0E: "heterogeneous-memory-attributes-update",
    0x0F: "error-disconnect-recover",
    0x100: "os-shutdown",
    0x103: "ejection",
    0x200: "insertion",
}

_ANY: Final = {
    0x00: "success",
    0x01: "failure",
    0x02: "unrecognized-notify",
}
_EJECTION: Final = {
    0x80: "ejection-not-supported",
    0x81: "device-in-use",
    0x82: "device-busy",
    0x83: "dependency-busy",
    0x84: "ejection-in-progress",
}
_SHUTDOWN: Final = {
    0x80: "shutdown-denied",
    0x81: "shutdown-in-progress",
    0x82: "shutdown-completed",
    0x83: "shutdown-not-supported",
}
_INSERTION: Final = {
    0x80: "insertion-in-progress",
    0x81: "driver-load-failure",
    0x82: "insertion-not-supported",
    **dict.fromkeys(range(0x90, 0xA0), "resources-unavailable"),
}
_BY_SOURCE: Final = {
    0x03: _EJECTION,
    0x103: _EJECTION,
    0x100: _SHUTDOWN,
    0x200: _INSERTION,
}

SOURCE_NAMES: Final = tuple(SOURCES.values())
STATUS_NAMES: Final = tuple(
    dict.fromkeys(
        name for table in (_ANY, _EJECTION, _SHUTDOWN, _INSERTION) for name in table.values()
    )
)


def source_name(source: int) -> str:
    """Return the name of an _OST source event, or ``other``."""
    return SOURCES.get(source, OTHER)


def status_name(source: int, status: int) -> str:
    """Return the name of an _OST status; above 0x7f its meaning depends on the source event."""
    return _ANY.get(status) or _BY_SOURCE.get(source, {}).get(status, OTHER)
