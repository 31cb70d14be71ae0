"""What happened, as a list that goes on by itself, and as a table."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qmp_exporter.catalog.spec import Severity

from .words import address, clock, utc


if TYPE_CHECKING:
    from collections.abc import Iterable

    from qmp_exporter.journal import Entry


LISTED = 100
"""Entries in the list."""


def mark(severity: Severity) -> str:
    """The class of what is that severe."""
    if severity >= Severity.ERROR:
        return "bad"
    return "warn" if severity >= Severity.WARN else "idle"


def log(entries: Iterable[Entry], after: str) -> str:
    """The list of entries, the newest first.

    Args:
        entries: to list.
        after: where the stream of events is to go on.
    """
    run, _, _ = after.partition("-")
    items = "\n".join(_item(entry, run) for entry in entries)
    return f"""<ol id="log" tabindex="0" aria-label="Events, the newest first" data-own
 data-after="{escape(after)}" data-most="{LISTED}">
{items}
</ol>
<template id="entry">{_BLANK}</template>"""


def table(entries: Iterable[Entry]) -> str:
    """The table of entries, the newest first."""
    rows = "\n".join(map(_row, entries))
    return f"""<table class="timeline">
<caption>The last events, the newest first.</caption>
<thead><tr><th scope="col">Time (UTC)</th><th scope="col">Event</th>
<th scope="col">Details</th></tr></thead>
<tbody>
{rows}
</tbody></table>"""


def _item(entry: Entry, run: str) -> str:
    return (
        f'<li data-key="{escape(run)}-{entry.number}" class="{mark(entry.severity)}">'
        f"{clock(entry.time)} "
        f'<b class="event">{escape(entry.event)}</b> '
        f'<a href="{address(entry.vm)}">{escape(entry.vm)}</a> '
        f"<span>{escape(_details(entry))}</span></li>"
    )


_BLANK = '<li><time></time> <b class="event"></b> <a></a> <span></span></li>'


def _row(entry: Entry) -> str:
    return (
        f'<tr data-key="e{entry.number}" class="{mark(entry.severity)}"><td>{utc(entry.time)}</td>'
        f'<th scope="row" class="event">{escape(entry.event)}</th>'
        f"<td>{escape(_details(entry))}</td></tr>"
    )


def _details(entry: Entry) -> str:
    return told(entry.count, entry.details)


def told(count: int, details: str) -> str:
    """Return the details of an entry that stands for so many events; page.js says the same."""
    return details if count == 1 else f"{count:,} more within a second"
