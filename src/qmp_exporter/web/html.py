"""The page as HTML: no script, no foreign resource, every value escaped."""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from .overview import Group, Level, grouped, level_of


if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .overview import Overview, Row


STYLE = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
# Should a value ever get past its escaping, the browser still runs nothing and loads nothing.
CSP = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_COLUMNS = (
    ("", "Virtual machine"),
    ("", "State"),
    ("num", "I/O errors"),
    ("num", "Panics"),
    ("num", "Watchdog"),
    ("num", "Sessions"),
    ("", "Migration"),
    ("num", "Events"),
    ("", "Last event"),
)
_TILES = (
    Group.RUNNING,
    Group.STOPPED,
    Group.UNRESPONSIVE,
    Group.UNWATCHED,
    Group.GONE,
    Group.CONNECTING,
)
_MEANING = {
    Group.UNRESPONSIVE: " · QEMU does not answer",
    Group.STOPPED: " · the virtual CPUs do not run",
    Group.UNWATCHED: " · the monitor is in use, may not be opened, or is none: events are missed",
    Group.GONE: " · QEMU has ended",
    Group.CONNECTING: " · not known yet",
    Group.RUNNING: "",
}


def render_overview(overview: Overview) -> str:
    """The page with every virtual machine, the broken ones first."""
    groups = grouped(overview.rows)
    level, headline = _headline(groups)
    table = _table(overview, groups) if groups else _NOTHING
    main = f"""<h1 class="{level}">{headline}</h1>
<p class="asof">As of {_utc(overview.now)}. <a href="">Refresh</a></p>
{_share(overview.rows)}
<ul class="counts" aria-label="Virtual machines by state">{_tiles(groups)}</ul>
{table}"""
    return _page(overview, headline, main)


def render_links(overview: Overview) -> str:
    """The page without virtual machines."""
    main = "<h1>qmp-exporter</h1>\n<p>The list of virtual machines is switched off.</p>"
    return _page(overview, "qmp-exporter", main)


def duration(seconds: float) -> str:
    """A length of time in its two largest units: ``3 min 20 s``."""
    if not math.isfinite(seconds):
        return "an unknown time"
    rest = int(seconds)
    if rest < 1:
        return "under 1 s"
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        parts.append(f"{count:,} {unit}" if count else "")
    first = next(index for index, part in enumerate(parts) if part)
    return " ".join(part for part in parts[first : first + 2] if part)


_NOTHING = """<div class="empty"><p>No QMP socket has been found so far.</p>
<p>Name one, or many with a wildcard: <code>--qmp.socket '/run/qemu/*.qmp'</code></p></div>"""


def _page(overview: Overview, title: str, main: str) -> str:
    links = "".join(
        f'<li><a href="{escape(href)}">{escape(text)}</a></li>' for href, text in overview.links
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · qmp-exporter</title>
<style>{STYLE}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<p>qmp-exporter <span>{escape(overview.version)}</span></p>
<nav aria-label="Exporter"><ul>{links}</ul></nav>
</header>
<main id="main">
{main}
</main>
<footer>QEMU virtual machines as their QMP events tell it.</footer>
</body>
</html>
"""


def _headline(groups: Mapping[Group, Sequence[Row]]) -> tuple[str, str]:
    """Is anything broken? The level of the answer and its words."""
    total = sum(map(len, groups.values()))
    running = len(groups.get(Group.RUNNING, ()))
    levels = Counter(level_of(row) for rows in groups.values() for row in rows)
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


def _share(rows: Iterable[Row]) -> str:
    """A thin bar: how much of the fleet is how well. What it shows is in the counts too."""
    levels = Counter(map(level_of, rows))
    start, bars = 0, []
    for level in sorted(Level, reverse=True):
        bars.append(f'<rect class="{_css(level)}" x="{start}" width="{levels[level]}" height="1"/>')
        start += levels[level]
    box = f'viewBox="0 0 {max(start, 1)} 1" preserveAspectRatio="none"'
    return f'<svg class="share" {box} aria-hidden="true">{"".join(bars)}</svg>'


def _tiles(groups: Mapping[Group, Sequence[Row]]) -> str:
    return "".join(_tile(group, groups.get(group, ())) for group in _TILES)


def _tile(group: Group, rows: Sequence[Row]) -> str:
    if not rows:
        return f'<li><div class="none"><b>0</b>{group.value}</div></li>'
    level = _css(min(map(level_of, rows)))
    target = f"#{group.name.lower()}"
    return f'<li><a class="{level}" href="{target}"><b>{len(rows):,}</b>{group.value}</a></li>'


def _table(overview: Overview, groups: Mapping[Group, Sequence[Row]]) -> str:
    head = "".join(f'<th scope="col" class="{css}">{name}</th>' for css, name in _COLUMNS)
    bodies = "".join(_body(group, rows, overview.now) for group, rows in groups.items())
    return f"""<table>
<caption>Those in trouble first. Counts are of what this exporter has seen.</caption>
<thead><tr>{head}</tr></thead>
{bodies}</table>"""


def _body(group: Group, rows: Sequence[Row], now: float) -> str:
    name = f"{group.value} <span>{len(rows):,}{_MEANING[group]}</span>"
    head = f'<tr class="group"><th scope="rowgroup" colspan="{len(_COLUMNS)}">{name}</th></tr>'
    lines = "\n".join(_row(row, now) for row in rows)
    return f'<tbody id="{group.name.lower()}">{head}\n{lines}</tbody>\n'


def _row(row: Row, now: float) -> str:
    return (
        f'<tr><th scope="row">{escape(row.vm)}<small>{escape(row.monitor)}</small></th>'
        f"<td>{_state(row)}</td>"
        f"{_number(row.io_errors, 'hot')}{_number(row.panics, 'hot')}"
        f"{_number(row.watchdogs, 'hot')}"
        f"{_number(row.sessions)}"
        f"<td>{escape(row.migration)}</td>"
        f"{_number(row.events)}"
        f"<td>{_last_event(row, now)}</td></tr>"
    )


def _state(row: Row) -> str:
    """What it is in and since when; without a connection, also what it was in before."""
    details = []
    if row.state == "connected":
        shown = row.status or row.state
        if row.cause and not row.status.startswith(row.cause):  # guest-panicked: guest-panic
            details.append(f"cause: {escape(row.cause)}")
        if row.stopped_seconds is not None:
            details.append(f"for {duration(row.stopped_seconds)}")
    else:
        shown = row.state
        if row.status:
            details.append(f"last known: {escape(row.status)}")
    small = f"<small>{', '.join(details)}</small>" if details else ""
    return f'<span class="pill {_css(level_of(row))}">{escape(shown)}</span>{small}'


def _number(count: int, css: str = "") -> str:
    return f'<td class="num {css if count else "zero"}">{count:,}</td>'


def _last_event(row: Row, now: float) -> str:
    if not row.last_event:
        return ""
    when = ""
    if row.last_event_time is not None:
        when = f"<small>{duration(now - row.last_event_time)} ago</small>"
    return f'<span class="event">{escape(row.last_event)}</span>{when}'


def _utc(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _css(level: Level) -> str:
    return level.name.lower()
