"""Events to test with: the examples of QEMU's old documents, and captures of real QEMUs.

The two documents (QMP Events, of QEMU 1.x and 2.x) describe 24 events and give 24 examples, each
kept as it stands there, on one line. They are not one to one: SPICE_DISCONNECTED shares the
heading of SPICE_CONNECTED and has no example of its own, QUORUM_REPORT_BAD has two. Some carry no
timestamp, and their data is that of QEMU then, not now.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import qmp_exporter.demo.captures


DATA = Path(__file__).parent / "data"
CAPTURES = Path(qmp_exporter.demo.captures.__file__).parent
VERSIONS: Final = ("7.2", "11.1")
"""The QEMUs of which there are captures."""

SPEC_EVENTS: Final = frozenset(
    {
        "ACPI_DEVICE_OST",
        "BALLOON_CHANGE",
        "BLOCK_IO_ERROR",
        "DUMP_COMPLETED",
        "GUEST_PANICKED",
        "MEM_UNPLUG_ERROR",
        "MIGRATION",
        "MIGRATION_PASS",
        "QUORUM_FAILURE",
        "QUORUM_REPORT_BAD",
        "RESET",
        "RESUME",
        "RTC_CHANGE",
        "SHUTDOWN",
        "SPICE_CONNECTED",
        "SPICE_DISCONNECTED",
        "SPICE_INITIALIZED",
        "SPICE_MIGRATE_COMPLETED",
        "STOP",
        "VNC_CONNECTED",
        "VNC_DISCONNECTED",
        "VNC_INITIALIZED",
        "VSERPORT_CHANGE",
        "WATCHDOG",
    }
)
"""The events that the documents describe."""


def spec_examples() -> list[bytes]:
    """Return the 24 examples, in the order of the documents, the broken one mended."""
    return (DATA / "spec_examples.jsonl").read_bytes().splitlines()


def broken_spec_example() -> bytes:
    """Return the example of MEM_UNPLUG_ERROR as it stands: a comma is missing, and it has lines."""
    return (DATA / "spec_example_broken.txt").read_bytes()


def capture_lines(version: str) -> list[bytes]:
    """Return all lines of a capture."""
    return (CAPTURES / f"qemu-{version}.jsonl").read_bytes().splitlines()


def captures(version: str) -> dict[str, list[bytes]]:
    """Return the lines of each scenario as they came; of two machines, where there were two."""
    lines = capture_lines(version)
    return {
        entry["scenario"]: lines[entry["first_line"] - 1 : entry["last_line"]]
        for entry in _index(version)
    }


def captures_by_role(version: str) -> dict[tuple[str, str], list[bytes]]:
    """Return the lines of each machine: by scenario and role, empty where there was one."""
    machines: dict[tuple[str, str], list[bytes]] = {}
    scenarios = captures(version)
    for entry in _index(version):
        name = entry["scenario"]
        roles = entry.get("roles", [""] * len(scenarios[name]))
        for role, line in zip(roles, scenarios[name], strict=True):
            machines.setdefault((name, role), []).append(line)
    return machines


def _index(version: str) -> list[dict[str, Any]]:
    index: list[dict[str, Any]] = json.loads((CAPTURES / f"qemu-{version}.index.json").read_text())
    return index
