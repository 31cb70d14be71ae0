"""The page with all machines: hostile text stays text, the first line answers."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import example, given

from qmp_exporter.catalog.spec import Severity
from qmp_exporter.journal import Entry, Filter
from qmp_exporter.web import Overview, Row
from qmp_exporter.web import overview as overview_module
from qmp_exporter.web.html import render_links, render_overview
from qmp_exporter.web.html.landing import SHOWN, Asked
from unit.web.samples import CALM, ENTRIES, EVIL, LINKS, NOW, ROWS, Outline, harmless


def page(*rows: Row, asked: Asked = Asked()) -> str:  # noqa: B008 - frozen
    """The page with these machines."""
    overview = Overview(version="1.2.3", now=NOW, rows=rows, links=LINKS, events=("STOP",))
    return render_overview(overview, asked)


def calm(**changes: object) -> Row:
    """A running machine with these changes."""
    return msgspec.structs.replace(CALM, **changes)


@given(ROWS)
@example(calm(vm=EVIL, monitor=EVIL, last_event=EVIL, migration=EVIL))
@example(calm(state="connected", status=EVIL, cause=EVIL * 2))
@example(calm(state=EVIL, status=EVIL))
def test_hostile_text_stays_text(row: Row) -> None:
    """No text of a row adds a tag or an attribute, and all of it arrives as it was."""
    outline = Outline(page(row))
    assert outline.shape == Outline(page(harmless(row))).shape
    header, state, trouble, busy, last = outline.cells[-5:]
    assert header == row.vm + row.monitor
    assert (row.status or row.state) in state
    assert row.state == "connected" or state.startswith(row.state)
    assert all(f"{name}: {error}" in trouble for name, error in row.disks)
    assert row.migration in busy
    assert last.startswith(row.last_event)
    assert row.last_event or not last
    assert row.vm in outline.attributes("tr", "data-key")


@given(ENTRIES)
@example(Entry(1, EVIL, EVIL, NOW, EVIL))
def test_hostile_events_stay_text(entry: Entry) -> None:
    """The same holds for the list of events."""
    outline = Outline(page(asked=Asked(entries=(entry,))))
    assert outline.shape == Outline(page(asked=Asked(entries=(harmless(entry),)))).shape
    assert entry.vm in outline.text
    assert entry.event in outline.text


def test_hostile_searches_stay_text() -> None:
    """What was searched for is in its field again, and nowhere else."""
    evil = "\"'><script>"
    asked = Asked(evil, Filter(frozenset({evil}), frozenset({evil})))
    outline = Outline(page(CALM, asked=asked))
    assert outline.attributes("input", "value") == [evil] * 3
    assert [tag for tag, _ in outline.tags].count("script") == 1


def test_hostile_links_and_version_stay_text() -> None:
    """What else comes in from outside is escaped too."""
    evil = "\"'><script>"
    document = render_links(Overview(version=evil, now=NOW, rows=(), links=((evil, evil),)))
    tags = [tag for tag, _ in Outline(document).tags]
    assert "script" not in tags
    assert ("a", (("href", evil),)) in Outline(document).tags


def test_page_can_be_followed_without_eyes() -> None:
    """Landmarks, a language, one first heading, a caption, and a scope on each header cell."""
    outline = Outline(page(calm(), calm(vm="web-2", state="gone")))
    names = [tag for tag, _ in outline.tags]
    once = ("header", "nav", "main", "footer", "h1", "caption")
    assert [names.count(name) for name in once] == [1] * len(once)
    assert ("html", (("lang", "en"),)) in outline.tags
    assert outline.attributes("th", "scope") == ["col"] * 5 + ["rowgroup", "row"] * 2
    labelled = outline.attributes("label", "for")
    assert labelled == outline.attributes("input", "id") == ["q", "vm", "event"]
    for inner in (href for href in outline.attributes("a", "href") if str(href)[:1] == "#"):
        assert (str(inner)[1:],) in {(dict(a).get("id"),) for _, a in outline.tags}


BROKEN = calm(status="io-error", cause="io-error", stopped_seconds=200)
PAUSED = calm(status="paused", cause="host")
CRASHED = calm(state="gone", status="", cause="crash")


@pytest.mark.parametrize(
    ("rows", "headline"),
    [
        ([], "No virtual machine yet"),
        ([calm()], "The virtual machine is running"),
        ([calm()] * 1200, "All 1,200 virtual machines are running"),
        ([calm(), calm(state="gone")], "No failure seen; 1 of 2 running"),
        ([calm(), calm(state="gone", cause="host-quit")], "No failure seen; 1 of 2 running"),
        ([calm(), CRASHED], "1 of 2 virtual machines needs attention"),
        ([calm(), PAUSED], "No failure seen; 1 of 2 is paused or not watched"),
        ([PAUSED, calm(state="busy")], "No failure seen; 2 of 2 are paused or not watched"),
        ([BROKEN], "1 of 1 virtual machine needs attention"),
        ([BROKEN, calm(state="unresponsive"), PAUSED], "2 of 3 virtual machines need attention"),
    ],
)
def test_first_line_says_whether_anything_is_broken(rows: list[Row], headline: str) -> None:
    """The heading and the title of the window give the answer."""
    document = page(*rows)
    assert re.findall(r"<h1[^>]*>(.*?)</h1>", document) == [headline]
    assert f"<title>{headline} " in document


def test_counts_add_up_to_the_machines() -> None:
    """Each machine is in one count; a count that is not zero leads to its machines."""
    document = page(BROKEN, PAUSED, calm(), calm(state="busy"), calm(state="gone"))
    counts = re.findall(r"<b>(\d+)</b>([A-Za-z ]+)", document)
    assert counts == [
        ("0", "Unresponsive"),
        ("2", "Stopped"),
        ("1", "Not watched"),
        ("1", "Gone"),
        ("0", "Connecting"),
        ("1", "Running"),
    ]
    assert 'href="#stopped"' in document
    assert 'href="#connecting"' not in document


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (calm(), "running"),
        (BROKEN, "io-errorfor 3 min 20 s"),
        (calm(status="guest-panicked", cause="guest-panic"), "guest-panicked"),
        (
            calm(status="paused", cause="migration", stopped_seconds=0.2),
            "pausedcause: migration, for under 1 s",
        ),
        (calm(status=""), "connected"),
        (calm(state="unresponsive"), "unresponsivelast known: running"),
        (calm(state="denied", status=""), "denied"),
        (CRASHED, "gonecause: crash"),
    ],
)
def test_state_tells_what_why_and_how_long(row: Row, text: str) -> None:
    """The cause is left out where the state says it already."""
    assert Outline(page(row)).cells[-4] == text


def test_last_event_has_its_age() -> None:
    """The age of an event is counted to the time of the page; a future one is not negative."""
    assert Outline(page(CALM)).cells[-1] == "RTC_CHANGE1 min ago, 3 in all"
    ahead = calm(last_event_time=NOW + 100)
    assert Outline(page(ahead)).cells[-1] == "RTC_CHANGEunder 1 s ago, 3 in all"


@pytest.mark.parametrize(
    ("row", "trouble", "busy"),
    [
        (CALM, "", ""),
        (calm(io_errors=1, panics=2, watchdogs=1), "1 I/O error2 panics1 watchdog", ""),
        (calm(disks=(("disk0", "nospace"),), io_errors=2), "disk0: nospace2 I/O errors", ""),
        (calm(sessions=1), "", "1 session"),
        (calm(sessions=2, migration="setup"), "", "2 sessionsmigration: setup"),
        (calm(migration="active", passes=3), "", "migration: activepass 3"),
    ],
)
def test_what_is_zero_is_left_out(row: Row, trouble: str, busy: str) -> None:
    """What is in error now comes first, then what there was."""
    assert Outline(page(row)).cells[-3:-1] == [trouble, busy]


def test_search_finds_rows_and_says_how_many() -> None:
    """The headline is about all machines, whatever was searched for."""
    rows = (calm(vm="web-1"), calm(vm="db-1", status="io-error", cause="io-error"))
    document = page(*rows, asked=Asked("WEB running"))
    assert "1 of 2 virtual machines needs attention" in document
    assert "1 of 2 found" in document
    assert Outline(document).attributes("tr", "data-key") == ["web-1"]
    assert "No virtual machine has all these words" in page(*rows, asked=Asked("web gone"))


def test_a_very_large_fleet_is_cut_and_says_so() -> None:
    """Those in trouble come first, and a search finds the others."""
    rows = [calm(vm=f"vm-{number}") for number in range(SHOWN + 5)]
    rows[-1] = calm(vm="broken", status="io-error", cause="io-error")
    document = page(*rows)
    keys = Outline(document).attributes("tr", "data-key")
    assert len(keys) == SHOWN
    assert keys[0] == "broken"
    assert f"{SHOWN + 5:,} in all; the first {SHOWN:,} are shown" in document
    assert f"{SHOWN - 1:,} of {SHOWN + 4:,}" in document  # of those that run


def test_a_very_large_fleet_is_sorted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted only needs no order."""
    orders: list[str] = []
    order = overview_module._order
    monkeypatch.setattr(
        overview_module, "_order", lambda row: (orders.append(row.vm), order(row))[1]
    )
    page(*[calm(vm=f"vm-{number}") for number in range(SHOWN + 5)])
    assert len(orders) == SHOWN + 5


def test_events_are_listed_with_what_they_stand_for() -> None:
    """A storm is one entry with its count; how bad an event is has a form, not a colour alone."""
    entries = (
        Entry(3, "web", "BLOCK_IO_ERROR", NOW, "", Severity.ERROR, 99_980),
        Entry(2, "web", "STOP", NOW, "cause=host", Severity.WARN),
        Entry(1, "a/b&c", "RTC_CHANGE", NOW, "offset=5"),
    )
    outline = Outline(page(asked=Asked(entries=entries, after="run-3")))
    assert outline.attributes("li", "class") == ["bad", "warn", "idle"]
    assert outline.attributes("ol", "data-after") == ["run-3"]
    assert "99,980 more within a second" in outline.text
    assert "cause=host" in outline.text
    assert "vm?name=a%2Fb%26c" in outline.attributes("a", "href")


def test_page_without_machines_has_links_only() -> None:
    """With the list switched off, no row is shown, and the links are."""
    document = render_links(Overview(version="1.2.3", now=NOW, rows=(CALM,), links=LINKS))
    assert CALM.vm not in document
    assert "<script" not in document
    assert '<a href="/metrics">Metrics</a>' in document
    assert "1.2.3" in document
