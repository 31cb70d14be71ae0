"""How the states of the catalog look on time lines: their words and colours."""

from __future__ import annotations

from typing import Final

from dashboards.panels import BLUE, GRAY, GREEN, ORANGE, PURPLE, RED, YELLOW, State
from qmp_exporter.catalog.states import IO_STATUSES, MIGRATION_STATUSES, RUN_STATES, TargetState


_RUN: Final = {
    "running": GREEN,
    "io-error": RED,
    "guest-panicked": RED,
    "internal-error": RED,
    "watchdog": RED,
    "paused": YELLOW,
    "shutdown": ORANGE,
    "suspended": BLUE,
    "inmigrate": PURPLE,
    "finish-migrate": PURPLE,
    "postmigrate": PURPLE,
    "prelaunch": GRAY,
}
_MIGRATION: Final = {
    "none": GRAY,
    "completed": GREEN,
    "failed": RED,
    "failing": RED,
    "postcopy-paused": RED,
    "cancelling": ORANGE,
    "cancelled": ORANGE,
    "active": BLUE,
}
_MONITOR: Final = {
    "connected": GREEN,
    "connecting": BLUE,
    "gone": GRAY,
    "refused": GRAY,
    "busy": ORANGE,
}
_IO: Final = {"ok": GREEN, "failed": RED, "nospace": RED}

RUN: Final = {state: State(state, _RUN.get(state, YELLOW)) for state in RUN_STATES}
MIGRATION: Final = {
    status: State(status, _MIGRATION.get(status, PURPLE)) for status in MIGRATION_STATUSES
}
MONITOR: Final = {state.value: State(state, _MONITOR.get(state, RED)) for state in TargetState}
DISK: Final = {status: State(status, _IO.get(status, YELLOW)) for status in IO_STATUSES}
