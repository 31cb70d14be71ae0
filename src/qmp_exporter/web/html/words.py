"""Numbers, times and states in words."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from qmp_exporter.web.overview import level_of


if TYPE_CHECKING:
    from qmp_exporter.web.overview import Level, Row


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


def size(amount: int) -> str:
    """A number of bytes: ``64.3 MiB``."""
    shown = float(amount)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(shown) < 1024:  # noqa: PLR2004 - of the units
            return f"{shown:.0f} {unit}" if unit == "bytes" else f"{shown:.1f} {unit}"
        shown /= 1024
    return f"{shown:,.1f} TiB"


def utc(seconds: float) -> str:
    """A moment as an element: date and time, to the second."""
    return f'<time datetime="{_iso(seconds)}">{_moment(seconds):%Y-%m-%d %H:%M:%S}</time>'


def clock(seconds: float) -> str:
    """A moment as an element: the time of day only."""
    return f'<time datetime="{_iso(seconds)}">{time_of_day(seconds)}</time>'


def time_of_day(seconds: float) -> str:
    """A moment as text: the time of day, to the second."""
    return f"{_moment(seconds):%H:%M:%S}"


def state(row: Row) -> str:
    """What a machine is in and since when; without a connection, also what it was in before."""
    details = []
    if row.state == "connected":
        shown = row.status or row.state
        if row.cause and not row.status.startswith(row.cause):  # guest-panicked: guest-panic
            details.append(f"cause: {escape(row.cause)}")
        if row.stopped_seconds is not None:
            details.append(f"for {duration(row.stopped_seconds)}")
    else:
        shown = row.state
        if row.cause:
            details.append(f"cause: {escape(row.cause)}")
        if row.status:
            details.append(f"last known: {escape(row.status)}")
    small = f"<small>{', '.join(details)}</small>" if details else ""
    return f'<span class="pill {css(level_of(row))}">{escape(shown)}</span>{small}'


def address(vm: str) -> str:
    """Where the page of a machine is, as an attribute's value."""
    return f"vm?name={quote(vm, safe='', errors='replace')}"


def css(level: Level) -> str:
    """The class of what has that level."""
    return level.name.lower()


def _iso(seconds: float) -> str:
    return f"{_moment(seconds):%Y-%m-%dT%H:%M:%S}Z"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
