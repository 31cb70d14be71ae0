"""The page of one machine."""

from __future__ import annotations

import msgspec
from hypothesis import example, given

from qmp_exporter.catalog.spec import Severity
from qmp_exporter.journal import Entry
from qmp_exporter.web import Display, Machine, Migrated, Overview
from qmp_exporter.web.html import render_machine
from unit.web.samples import CALM, EVIL, LINKS, MACHINES, NOW, Outline, harmless


PLAIN = Machine(
    overview=Overview(version="1.2.3", now=NOW, rows=(), links=LINKS),
    row=CALM,
    facts=(("UUID", "1111"),),
    events=(),
    stopped=(),
    unobserved=0.0,
    disks=(),
    displays=(),
    migration=None,
    entries=(),
)
BUSY = msgspec.structs.replace(
    PLAIN,
    row=msgspec.structs.replace(CALM, disks=(("disk1", "nospace"),)),
    events=(("STOP", 1200), ("RESUME", 1)),
    stopped=(("io-error", 62.5), ("host", 3.0)),
    unobserved=5.0,
    disks=(("disk1", "nospace"), ("disk0", "ok")),
    displays=(Display("vnc", 2, 1),),
    migration=Migrated("active", "source", 3, 12.0, 0.25, 64 * 2**20),
    entries=(
        Entry(2, "web-1", "STOP", NOW, "cause=io-error", Severity.WARN),
        Entry(1, "web-1", "BLOCK_IO_ERROR", NOW - 1, "device=disk1", Severity.ERROR, 5),
    ),
)


@given(MACHINES)
@example(msgspec.structs.replace(BUSY, row=msgspec.structs.replace(CALM, vm=EVIL)))
def test_hostile_text_stays_text(machine: Machine) -> None:
    """No text of a machine adds a tag or an attribute, and its name arrives as it was."""
    outline = Outline(render_machine(machine, "run-1"))
    assert outline.shape == Outline(render_machine(harmless(machine), "run-1")).shape
    assert machine.row.vm in outline.text
    assert outline.attributes("div", "data-vm") == [machine.row.vm]


def test_all_that_is_known_is_shown() -> None:
    """Disks in error, stops by cause, the migration, clients, counts, and who it is."""
    text = " ".join(Outline(render_machine(BUSY, "run-2")).text.split())
    for words in (
        "disk1: nospace",
        "1 of 2 in error",
        "1 min 5 s",
        "io-error1 min 2 s",
        "pass3",
        "took12 s",
        "downtime250 ms",
        "moved64.0 MiB",
        "1 session, 2 connections",
        "1,201 seen",
        "STOP1,200",
        "UUID1111",
        "Not watched for5 s",
    ):
        assert words in text


def test_what_is_not_known_is_left_out() -> None:
    """A machine to which nothing has happened yet."""
    text = Outline(render_machine(PLAIN, "run-0")).text
    assert "Nothing has happened" in text
    for words in ("Disks", "Stopped so far", "Migration", "Display", "Not watched"):
        assert words not in text


def test_the_table_has_what_the_chart_has() -> None:
    """Time, event and details, the newest first."""
    outline = Outline(render_machine(BUSY, "run-2"))
    assert outline.cells[3:] == [
        "1970-01-12 13:47:40",
        "STOP",
        "cause=io-error",
        "1970-01-12 13:47:39",
        "BLOCK_IO_ERROR",
        "5 more within a second",
    ]
    assert outline.attributes("div", "data-after") == ["run-2"]
