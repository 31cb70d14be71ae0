"""What all pages have in common: the policy, the style, the script."""

from __future__ import annotations

import base64
import hashlib
import re
from itertools import product

import pytest

from qmp_exporter.web import Overview
from qmp_exporter.web.html import CSP
from qmp_exporter.web.html.frame import SCRIPT, STYLE, document, freshness
from unit.web.samples import EVIL, LINKS, NOW, Outline


OVERVIEW = Overview(version="1.2.3", now=NOW, rows=(), links=LINKS)


def page() -> str:
    """A page."""
    return document(OVERVIEW, "Title", freshness("now"))


def test_policy_allows_exactly_our_style_and_script() -> None:
    """The hashes in the policy are those of the one style and the one script, byte for byte."""
    found = [re.findall(rf"<{tag}>(.*?)</{tag}>", page(), re.DOTALL) for tag in ("style", "script")]
    style, script = (digest(text) for (text,) in found)
    assert CSP.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{style}'",
        f"script-src 'sha256-{script}'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]


def digest(text: str) -> str:
    """Return what a policy says of an element with that text."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_page_needs_nothing_that_the_policy_forbids() -> None:
    """No style attribute, handler, image or foreign address: the browser would refuse them."""
    names = {name for _, attributes in Outline(page()).shape for name in attributes}
    assert not {name for name in names if name.startswith("on")} | names & {
        "style",
        "src",
        "srcset",
    }
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert "http" not in page().replace("http://www.w3.org/2000/svg", "")


def test_script_makes_no_html() -> None:
    """It never makes HTML of text, and does not end its own element."""
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval", SCRIPT)
    assert "</" not in SCRIPT
    assert "<!--" not in SCRIPT


def test_hostile_title_stays_text() -> None:
    """A title may be the name of a machine."""
    outline = Outline(document(OVERVIEW, EVIL, ""))
    assert f"{EVIL} · qmp-exporter" in outline.text
    assert [tag for tag, _ in outline.tags].count("script") == 1


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
