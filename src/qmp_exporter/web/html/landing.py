"""The page with all virtual machines."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING

import msgspec

from qmp_exporter.journal import Filter
from qmp_exporter.web.overview import Group, Level, counted, group_of, grouped, matching

from .events import log
from .frame import document, freshness
from .words import address, css, duration, state, utc


if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qmp_exporter.journal import Entry
    from qmp_exporter.web.overview import Overview, Row


SHOWN = 1000
"""Rows of the table; those in trouble come first, and a search finds the others."""

_COLUMNS = ("Virtual machine", "State", "Trouble seen", "Sessions, migration", "Last event")
_MEANING = {
    Group.UNRESPONSIVE: " · QEMU does not answer",
    Group.STOPPED: " · the virtual CPUs do not run",
    Group.UNWATCHED: " · the monitor is in use, may not be opened, or is none: events are missed",
    Group.GONE: " · QEMU has ended",
    Group.CONNECTING: " · not known yet",
    Group.RUNNING: "",
}


class Asked(msgspec.Struct, frozen=True):
    """What somebody wants to see.

    Attributes:
        text: words that the machines shown must have.
        filter: the events.
        entries: those of them that are newest, the newest first.
        after: where the stream of events is to go on.
    """

    text: str = ""
    filter: Filter = Filter()
    entries: tuple[Entry, ...] = ()
    after: str = ""


def render_overview(overview: Overview, asked: Asked) -> str:
    """The page with every virtual machine, the broken ones first."""
    groups = counted(overview.rows)
    levels = {level: sum(found[level] for found in groups.values()) for level in Level}
    level, headline = _headline(groups, levels)
    main = f"""<h1 class="{level}">{headline}</h1>
{freshness(utc(overview.now))}
{_share(levels)}
<ul class="counts" aria-label="Virtual machines by state">{_tiles(groups)}</ul>
<div class="columns">
<section aria-labelledby="machines">
<h2 id="machines">Virtual machines</h2>
{_machines(overview, asked)}
</section>
<section aria-labelledby="events">
<h2 id="events">Events</h2>
{_events(overview, asked)}
</section>
</div>"""
    return document(overview, headline, main)


def render_links(overview: Overview) -> str:
    """The page without virtual machines."""
    main = "<h1>qmp-exporter</h1>\n<p>The list of virtual machines is switched off.</p>"
    return document(overview, "qmp-exporter", main, script=False)


_NONE = '<p class="empty">No virtual machine has all these words.</p>'
_NOTHING = """<div class="empty"><p>No QMP socket has been found so far.</p>
<p>Name one, or many with a wildcard: <code>--qmp.socket '/run/qemu/*.qmp'</code></p></div>"""


def _headline(
    groups: Mapping[Group, Counter[Level]], levels: Mapping[Level, int]
) -> tuple[str, str]:
    """Is anything broken? The level of the answer and its words."""
    total = sum(levels.values())
    running = groups[Group.RUNNING].total() if Group.RUNNING in groups else 0
    machines = "virtual machine" if total == 1 else "virtual machines"
    if not total:
        return "none", "No virtual machine yet"
    if bad := levels[Level.BAD]:
        verb = "needs" if bad == 1 else "need"
        return "bad", f"{bad:,} of {total:,} {machines} {verb} attention"
    if warn := levels[Level.WARN]:
        verb = "is" if warn == 1 else "are"
        return "warn", f"No failure seen; {warn:,} of {total:,} {verb} paused or not watched"
    if running == total:
        all_of_them = f"All {total:,} {machines} are" if total > 1 else f"The {machines} is"
        return "ok", f"{all_of_them} running"
    return "ok", f"No failure seen; {running:,} of {total:,} running"


def _share(levels: Mapping[Level, int]) -> str:
    """A thin bar: how much of the fleet is how well. What it shows is in the counts too."""
    start, bars = 0, []
    for level in Level:
        bars.append(f'<rect class="{css(level)}" x="{start}" width="{levels[level]}" height="1"/>')
        start += levels[level]
    box = f'viewBox="0 0 {max(start, 1)} 1" preserveAspectRatio="none"'
    return f'<svg class="share" {box} aria-hidden="true">{"".join(bars)}</svg>'


def _tiles(groups: Mapping[Group, Counter[Level]]) -> str:
    return "".join(_tile(group, groups.get(group)) for group in Group)


def _tile(group: Group, levels: Counter[Level] | None) -> str:
    if levels is None:
        return f'<li><div class="none"><b>0</b>{group.value}</div></li>'
    level = css(min(levels))
    target = f"#{group.name.lower()}"
    return f'<li><a class="{level}" href="{target}"><b>{levels.total():,}</b>{group.value}</a></li>'


def _machines(overview: Overview, asked: Asked) -> str:
    found = matching(overview.rows, asked.text)
    groups = grouped(found, SHOWN)
    totals = Counter(map(group_of, found))
    table = _table(overview, groups, totals) if groups else _NONE if overview.rows else _NOTHING
    return f"""<form id="find" role="search" action="./" method="get">
<label for="q">Search</label>
<input id="q" name="q" type="search" value="{escape(asked.text)}" autocomplete="off"
 placeholder="name, state, cause, disk …">
<button>Search</button>
</form>
<p class="found" role="status">{_found(len(overview.rows), len(found), asked.text)}</p>
{table}"""


def _found(total: int, found: int, text: str) -> str:
    words = f"{found:,} of {total:,} found" if text.strip() else f"{total:,} in all"
    if found > SHOWN:
        return f"{words}; the first {SHOWN:,} are shown, a search finds the others"
    return f"{words}, those in trouble first"


def _table(
    overview: Overview, groups: Mapping[Group, Sequence[Row]], totals: Mapping[Group, int]
) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)
    bodies = "".join(
        _body(group, rows, totals[group], overview.now) for group, rows in groups.items()
    )
    return f"""<table class="machines">
<caption>Counts are of what this exporter has seen.</caption>
<thead><tr>{head}</tr></thead>
{bodies}</table>"""


def _body(group: Group, rows: Sequence[Row], total: int, now: float) -> str:
    count = f"{total:,}" if len(rows) == total else f"{len(rows):,} of {total:,}"
    name = f"{group.value} <span>{count}{_MEANING[group]}</span>"
    head = f'<tr class="group"><th scope="rowgroup" colspan="{len(_COLUMNS)}">{name}</th></tr>'
    lines = "\n".join(_row(row, now) for row in rows)
    return f'<tbody id="{group.name.lower()}">{head}\n{lines}</tbody>\n'


def _row(row: Row, now: float) -> str:
    vm = escape(row.vm)
    return (
        f'<tr data-key="{vm}"><th scope="row"><a href="{address(row.vm)}">{vm}</a>'
        f"<small>{escape(row.monitor)}</small></th>"
        f"<td>{state(row)}</td>"
        f"<td>{_trouble(row)}</td>"
        f"<td>{_busy(row)}</td>"
        f"<td>{_last_event(row, now)}</td></tr>"
    )


def _trouble(row: Row) -> str:
    """The disks in error now, and what went wrong so far."""
    disks = [f"<li><b>{escape(name)}: {escape(error)}</b></li>" for name, error in row.disks]
    counts = [
        f"<li>{count:,} {one if count == 1 else many}</li>"
        for count, one, many in (
            (row.io_errors, "I/O error", "I/O errors"),
            (row.panics, "panic", "panics"),
            (row.watchdogs, "watchdog", "watchdogs"),
        )
        if count
    ]
    return f'<ul class="trouble">{"".join((*disks, *counts))}</ul>' if disks or counts else ""


def _busy(row: Row) -> str:
    words = []
    if row.sessions:
        words.append(f"<div>{row.sessions:,} session{'s' if row.sessions != 1 else ''}</div>")
    if row.migration:
        passed = f"<small>pass {row.passes:,}</small>" if row.passes else ""
        words.append(f"<div>migration: {escape(row.migration)}{passed}</div>")
    return "".join(words)


def _last_event(row: Row, now: float) -> str:
    if not row.last_event:
        return ""
    when = f"{row.events:,} in all"
    if row.last_event_time is not None:
        when = f"{duration(now - row.last_event_time)} ago, {when}"
    return f'<span class="event">{escape(row.last_event)}</span><small>{when}</small>'


def _events(overview: Overview, asked: Asked) -> str:
    options = "".join(f'<option value="{escape(name)}">' for name in overview.events)
    fields = "".join(
        f'<div><label for="{name}">{label}</label>\n'
        f'<input id="{name}" name="{name}" value="{escape(value)}" form="find" autocomplete="off"'
        f' placeholder="{every}"{more}></div>'
        for name, label, value, every, more in (
            ("vm", "Virtual machine", _only(asked.filter.vms), "all", ""),
            ("event", "Event", _only(asked.filter.events), "all", ' list="names"'),
        )
    )
    return f"""<div class="filter">{fields}
<button form="find">Filter</button></div>
<datalist id="names">{options}</datalist>
{log(asked.entries, asked.after)}"""


def _only(names: frozenset[str]) -> str:
    return min(names, default="")
