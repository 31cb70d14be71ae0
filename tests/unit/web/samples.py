"""Rows for tests of the page."""

from __future__ import annotations

from hypothesis import strategies as st

from qmp_exporter.web import Row


CALM = Row(
    vm="web-1",
    monitor="/run/qemu/web-1.qmp",
    state="connected",
    status="running",
    cause="",
    stopped_seconds=None,
    events=3,
    last_event="RTC_CHANGE",
    last_event_time=1_000_000.0,
    io_errors=0,
    panics=0,
    watchdogs=0,
    sessions=0,
    migration="",
)

_TAGS = st.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</td></table>", "&amp;", "'"]
)
# Lone surrogates included: a path on Linux is bytes, and may hold any of them.
_TEXT = st.text(st.characters(exclude_categories=())) | _TAGS | st.builds(str.__add__, _TAGS, _TAGS)
_STATES = st.sampled_from(["connected", "gone", "busy", "unresponsive", "connecting"]) | _TEXT
_STATUSES = st.sampled_from(["", "running", "paused", "io-error", "inmigrate"]) | _TEXT
_NUMBER = st.integers()

ROWS = st.builds(
    Row,
    vm=_TEXT,
    monitor=_TEXT,
    state=_STATES,
    status=_STATUSES,
    cause=_STATUSES,
    stopped_seconds=st.none() | st.floats(),
    events=_NUMBER,
    last_event=_TEXT,
    last_event_time=st.none() | st.floats(),
    io_errors=_NUMBER,
    panics=_NUMBER,
    watchdogs=_NUMBER,
    sessions=_NUMBER,
    migration=_TEXT,
)
