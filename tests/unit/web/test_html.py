"""The page: hostile text stays text, colours can be read, the first line answers."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import product

import msgspec
import pytest
from hypothesis import example, given

from qmp_exporter.web import Overview, Row
from qmp_exporter.web.html import CSP, STYLE, duration, render_links, render_overview
from unit.web.samples import CALM, ROWS


NOW = 1_000_060.0


def page(*rows: Row, links: tuple[tuple[str, str], ...] = (("/metrics", "Metrics"),)) -> str:
    """The page with these machines."""
    return render_overview(Overview(version="1.2.3", now=NOW, rows=rows, links=links))


def calm(**changes: object) -> Row:
    """A running machine with these changes."""
    return msgspec.structs.replace(CALM, **changes)


class Outline(HTMLParser):
    """The tags of a document with their attributes, and the text of each cell."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.cells: list[str] = []
        self._in_cell = False
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag; a new cell begins with td and th."""
        self.tags.append((tag, tuple(attrs)))
        if tag in {"td", "th"}:
            self.cells.append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        """A cell ends; what follows is not its text."""
        if tag in {"td", "th"}:
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        """Text belongs to the open cell."""
        if self._in_cell:
            self.cells[-1] += data


# One stand-in for each character that means something to HTML, so that equal stays equal.
HARMLESS = str.maketrans(dict(zip("<>&\"'", "\ue000\ue001\ue002\ue003\ue004", strict=True)))


def harmless(row: Row) -> Row:
    """The same row without a character that HTML could mind."""
    values = msgspec.structs.asdict(row).items()
    return Row(**{k: v.translate(HARMLESS) if isinstance(v, str) else v for k, v in values})


EVIL = "</td><script>"


@given(ROWS)
@example(calm(vm=EVIL, monitor=EVIL, last_event=EVIL, migration=EVIL))
@example(calm(state="connected", status=EVIL, cause=EVIL * 2))
@example(calm(state=EVIL, status=EVIL))
def test_hostile_text_stays_text(row: Row) -> None:
    """No text of a row adds a tag or an attribute, and all of it arrives as it was."""
    outline = Outline(page(row))
    assert outline.tags == Outline(page(harmless(row))).tags
    header, state, *_, migration, _, last = outline.cells[-9:]
    assert header == row.vm + row.monitor
    assert (row.status or row.state) in state
    assert row.state == "connected" or state.startswith(row.state)
    assert migration == row.migration
    assert last.startswith(row.last_event)
    assert row.last_event or not last


def test_hostile_links_and_version_stay_text() -> None:
    """What else comes in from outside is escaped too."""
    evil = "\"'><script>"
    document = render_links(Overview(version=evil, now=NOW, rows=(), links=((evil, evil),)))
    tags = [tag for tag, _ in Outline(document).tags]
    assert "script" not in tags
    assert ("a", (("href", evil),)) in Outline(document).tags


def test_policy_allows_exactly_our_style() -> None:
    """The hash in the policy is that of the one style element, byte for byte."""
    styles = re.findall(r"<style>(.*?)</style>", page(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(styles[0].encode()).digest()).decode()
    assert len(styles) == 1
    assert CSP.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]


def test_page_needs_nothing_that_the_policy_forbids() -> None:
    """No style attribute, script, image or foreign address: the browser would refuse them."""
    document = page(calm(), calm(state="gone"))
    names = {name for _, attributes in Outline(document).tags for name, _ in attributes}
    assert not names & {"style", "src", "srcset", "onclick", "onload"}
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert "http" not in document


def test_table_can_be_followed_without_eyes() -> None:
    """Landmarks, a language, one heading, a caption, and a scope on each header cell."""
    tags = Outline(page(calm(), calm(state="gone"))).tags
    names = [tag for tag, _ in tags]
    assert [names.count(name) for name in ("header", "nav", "main", "footer", "h1", "caption")] == (
        [1] * 6
    )
    assert ("html", (("lang", "en"),)) in tags
    scopes = [dict(attributes).get("scope") for tag, attributes in tags if tag == "th"]
    assert scopes == ["col"] * 9 + ["rowgroup", "row"] * 2
    targets = {dict(attributes).get("id") for _, attributes in tags}
    inner = {dict(a)["href"] for tag, a in tags if tag == "a" and str(dict(a)["href"])[:1] == "#"}
    assert {f"#{target}" for target in targets if target} == inner


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_can_be_read(scheme: str) -> None:
    """Text has a contrast of 4.5 to 1 or more on every background it stands on (WCAG 2.2 AA)."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", blocks[scheme == "dark"]))
    pairs = [
        *product(["text", "soft", "link", "bad", "warn", "ok"], ["page", "card", "band"]),
        *((name, f"{name}-back") for name in ("bad", "warn", "idle", "ok")),
    ]
    assert {
        pair: c for pair in pairs if (c := contrast(*(colours[name] for name in pair))) < 4.5
    } == {}


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    light, dark = sorted(map(luminance, (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    """The relative luminance of ``#rrggbb``, 0 to 1 (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


BROKEN = calm(status="io-error", cause="io-error", stopped_seconds=200)
PAUSED = calm(status="paused", cause="host")


@pytest.mark.parametrize(
    ("rows", "headline"),
    [
        ([], "No virtual machine yet"),
        ([calm()], "The virtual machine is running"),
        ([calm()] * 1200, "All 1,200 virtual machines are running"),
        ([calm(), calm(state="gone")], "No failure seen; 1 of 2 running"),
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
        ("1", "Running"),
        ("2", "Stopped"),
        ("0", "Unresponsive"),
        ("1", "Not watched"),
        ("1", "Gone"),
        ("0", "Connecting"),
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
    ],
)
def test_state_tells_what_why_and_how_long(row: Row, text: str) -> None:
    """The cause is left out where the state says it already."""
    assert Outline(page(row)).cells[-8] == text


def test_last_event_has_its_age() -> None:
    """The age of an event is counted to the time of the page; a future one is not negative."""
    assert Outline(page(CALM)).cells[-1] == "RTC_CHANGE1 min ago"
    ahead = calm(last_event_time=NOW + 100)
    assert Outline(page(ahead)).cells[-1] == "RTC_CHANGEunder 1 s ago"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "under 1 s"),
        (0.9, "under 1 s"),
        (1, "1 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (7470, "2 h 4 min"),
        (86400 * 1000 + 3600, "1,000 d 1 h"),
        (float("nan"), "an unknown time"),
        (float("inf"), "an unknown time"),
    ],
)
def test_duration_is_two_units(seconds: float, text: str) -> None:
    """A length of time is given in its largest unit and the next smaller one."""
    assert duration(seconds) == text


def test_page_without_machines_has_links_only() -> None:
    """With the list switched off, no row is shown, and the links are."""
    document = render_links(
        Overview(version="1.2.3", now=NOW, rows=(CALM,), links=(("/metrics", "Metrics"),))
    )
    assert CALM.vm not in document
    assert '<a href="/metrics">Metrics</a>' in document
    assert "1.2.3" in document
