"""What the page of one virtual machine is told."""

from __future__ import annotations

import msgspec

from qmp_exporter.journal import Entry

from .overview import Overview, Row


class Display(msgspec.Struct, frozen=True):
    """The clients of a display protocol."""

    protocol: str
    connections: int
    sessions: int


class Migrated(msgspec.Struct, frozen=True):
    """The migration under way, or the last one."""

    status: str
    role: str
    passes: int
    seconds: float | None
    """How long the last one took, if known."""
    downtime: float | None
    """Seconds that the guest did not run, if known."""
    transferred: int | None
    """Bytes of memory moved, if known."""


class Machine(msgspec.Struct, frozen=True):
    """One virtual machine. Every text may have been chosen by somebody hostile."""

    overview: Overview
    """With no other row."""
    row: Row
    facts: tuple[tuple[str, str], ...]
    """What stays as long as QEMU runs, as names and values."""
    events: tuple[tuple[str, int], ...]
    """How many there were of each kind."""
    stopped: tuple[tuple[str, float], ...]
    """Seconds by cause, of the causes that there were."""
    unobserved: float
    """Seconds in which events may have been missed."""
    disks: tuple[tuple[str, str], ...]
    """Names and I/O status of all."""
    displays: tuple[Display, ...]
    migration: Migrated | None
    """None where there never was one."""
    entries: tuple[Entry, ...]
    """What happened last, the newest first."""
