"""The page of one virtual machine."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qmp_exporter.web.overview import level_of

from .chart import chart
from .events import table
from .frame import document, freshness
from .words import css, duration, size, state, utc


if TYPE_CHECKING:
    from collections.abc import Iterable

    from qmp_exporter.web.machine import Machine, Migrated


def render_machine(machine: Machine, after: str) -> str:
    """The page of a machine.

    Args:
        machine: it.
        after: where the stream of events is to go on.
    """
    row = machine.row
    happened = '<p class="empty">Nothing has happened since the exporter started.</p>'
    if machine.entries:
        happened = f"{chart(machine.entries, row)}\n{table(machine.entries)}"
    disks = "".join(f"<li><b>{escape(name)}: {escape(error)}</b></li>" for name, error in row.disks)
    main = f"""<p class="way"><a href="./">All virtual machines</a></p>
<h1 class="{css(level_of(row))}">{escape(row.vm)}</h1>
<div class="status">{state(row)}<ul class="trouble">{disks}</ul></div>
{freshness(utc(machine.overview.now))}
<div class="columns" id="stream" data-vm="{escape(row.vm)}" data-after="{escape(after)}">
<section aria-labelledby="events">
<h2 id="events">What happened last</h2>
{happened}
</section>
<div class="cards">
{"".join(_cards(machine))}</div>
</div>"""
    return document(machine.overview, row.vm, main)


def _cards(machine: Machine) -> Iterable[str]:
    bad = tuple((name, status) for name, status in machine.disks if status != "ok")
    if machine.disks:
        words = f"{len(bad)} of {len(machine.disks)} in error" if bad else "No disk is in error"
        yield _card("Disks", words, machine.disks, bad=bool(bad))
    if machine.stopped:
        total = sum(seconds for _, seconds in machine.stopped)
        causes = tuple((cause, duration(seconds)) for cause, seconds in machine.stopped)
        yield _card("Stopped so far", duration(total), causes)
    if machine.migration is not None:
        yield _card("Migration", machine.migration.status, tuple(_migration(machine.migration)))
    if machine.displays:
        sessions = sum(display.sessions for display in machine.displays)
        clients = tuple(
            (d.protocol, f"{_many(d.sessions, 'session')}, {_many(d.connections, 'connection')}")
            for d in machine.displays
        )
        yield _card("Display", _many(sessions, "session"), clients)
    total = sum(count for _, count in machine.events)
    counts = tuple((name, f"{count:,}") for name, count in machine.events)
    yield _card("Events", f"{total:,} seen", counts, css="event")
    blind = (("Not watched for", duration(machine.unobserved)),) if machine.unobserved else ()
    yield _card("Machine", "", (*machine.facts, *blind))


def _migration(last: Migrated) -> Iterable[tuple[str, str]]:
    yield "this end", last.role
    if last.passes:
        yield "pass", f"{last.passes:,}"
    if last.seconds is not None:
        yield "took", duration(last.seconds)
    if last.downtime is not None:
        yield "downtime", f"{last.downtime * 1000:,.0f} ms"
    if last.transferred is not None:
        yield "moved", size(last.transferred)


def _many(count: int, name: str) -> str:
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"


def _card(
    title: str, words: str, rows: Iterable[tuple[str, str]], *, css: str = "", bad: bool = False
) -> str:
    """A few names and values under a heading, and what they come to."""
    shown = "".join(
        f'<div><dt class="{css}">{escape(name)}</dt><dd>{escape(value)}</dd></div>'
        for name, value in rows
    )
    lead = f"<p>{escape(words)}</p>" if words else ""
    level = ' class="bad"' if bad else ""
    return f"<section{level}><h2>{title}</h2>{lead}<dl>{shown}</dl></section>\n"
