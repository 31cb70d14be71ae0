"""The pages as HTML: no foreign resource, every value escaped, and all of it without the script."""

from __future__ import annotations

from .frame import CSP
from .landing import render_links, render_overview
from .machine import render_machine


__all__ = ["CSP", "render_links", "render_machine", "render_overview"]
