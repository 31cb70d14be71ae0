"""Recording rules: by how much a counter rose lately, also one that was born with its first event.

``increase()`` sees nothing of a series that begins at 1, and a VM can panic before it is scraped
for the first time. So a counter that was not there five minutes ago counts whole. That it was not
there must not come of the scrapes: Prometheus has to have reached the exporter then, or the
exporter is younger than that. And a counter of an exporter that began again may have come to where
it was before: all of it is new.

Source: Prometheus documentation, "Recording rules", for the names; prometheus/prometheus, issue
1673, for what ``increase()`` does not see.
"""

from __future__ import annotations

from typing import Any, Final


WINDOW: Final = "5m"
YOUNG: Final = "process_start_time_seconds > time() - {}"

WATCHED_BEFORE: Final = f"on (job, instance) (up offset {WINDOW} == 1 or {YOUNG.format(360)})"
"""To follow ``and``: Prometheus has seen all that the exporter had to show in the window. A minute
more than the window, so that the one begins before the other ends."""

JUST_STARTED: Final = f"on (job, instance) {YOUNG.format(300)}"
"""To follow ``and``: the exporter began within the window, and so did all that it counts."""

RISING: Final = (
    "qemu_block_io_errors_total",
    "qemu_block_nospace_errors_total",
    "qemu_device_unplug_errors_total",
    "qemu_acpi_device_ost_total",
    "qemu_dumps_total",
    "qemu_guest_crashloads_total",
    "qemu_guest_panics_total",
    "qemu_memory_unplug_errors_total",
    "qemu_migrations_total",
    "qemu_quorum_bad_reports_total",
    "qemu_quorum_failures_total",
    "qemu_vm_exits_total",
    "qemu_vm_stops_total",
    "qemu_watchdog_actions_total",
    "qmp_exporter_decode_errors_total",
)
"""The counters of whose every single rise an alert tells."""


def recorded(counter: str) -> str:
    """Return the name of the rule of a counter."""
    return f"vm:{counter.removesuffix('_total')}:increase{WINDOW}"


def rule(counter: str) -> dict[str, Any]:
    """Return the rule of a counter, as a file of rules has it."""
    expr = (
        f"({counter} > 0 unless {counter} offset {WINDOW}) and {WATCHED_BEFORE}\n"
        "or\n"
        f"increase({counter}[{WINDOW}]) > 0\n"
        "or\n"
        f"{counter} > 0 and {JUST_STARTED}\n"
    )
    return {"record": recorded(counter), "expr": expr}


def group() -> dict[str, Any]:
    """Return the group of all recording rules."""
    return {"name": "qmp-exporter-increases", "rules": list(map(rule, RISING))}
