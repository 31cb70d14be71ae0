"""What all pages have in common: head, style, script, and what the browser may do."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from qmp_exporter.web.overview import Overview


_HERE = files("qmp_exporter.web")
STYLE = _HERE.joinpath("page.css").read_text(encoding="utf-8")
SCRIPT = _HERE.joinpath("page.js").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


# Should a value ever get past its escaping, the browser still runs nothing and loads nothing.
CSP = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; "
    "connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

# Three rows of a table, the first one in trouble.
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='3' fill='%231b2129'/%3E"
    "%3Cpath d='M3 4h10' stroke='%23ff6b5e' stroke-width='2'/%3E"
    "%3Cpath d='M3 8h10M3 12h10' stroke='%237dd3a0' stroke-width='2'/%3E%3C/svg%3E"
)


def document(overview: Overview, title: str, main: str, *, script: bool = True) -> str:
    """A page.

    Args:
        overview: what the exporter says of itself.
        title: text, not escaped yet.
        main: HTML.
        script: whether the page is to be kept up to date.
    """
    links = "".join(
        f'<li><a href="{escape(href)}">{escape(text)}</a></li>' for href, text in overview.links
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · qmp-exporter</title>
<link rel="icon" href="{_ICON}">
<style>{STYLE}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<p><a href="./">qmp-exporter</a> <span>{escape(overview.version)}</span></p>
<nav aria-label="Exporter"><ul>{links}</ul></nav>
</header>
<main id="main">
{main}
</main>
<footer>QEMU virtual machines as their QMP events tell it. Times are UTC.</footer>
{f"<script>{SCRIPT}</script>" if script else ""}
</body>
</html>
"""


def freshness(moment: str) -> str:
    """When the page was made, and a place for the script to say whether it is kept up to date."""
    return f"""<p class="asof">As of {moment} UTC. <a href="">Refresh</a>
<span id="live" role="status" data-own></span>
<button id="pause" type="button" hidden data-own>Pause</button></p>"""
