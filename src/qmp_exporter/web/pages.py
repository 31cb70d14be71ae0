"""The landing page and the probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .html import CSP, render_links, render_overview
from .reply import rendered, text


if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from aiohttp import web
    from aiohttp.typedefs import Handler

    from .overview import Overview


class Landing:
    """Handler of ``/``: the virtual machines, or links only where ``page`` is off."""

    def __init__(self, overview: Callable[[], Overview], pool: Executor, *, page: bool) -> None:
        self._overview = overview
        self._pool = pool
        self._render = render_overview if page else render_links

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer with the page."""
        # The overview is quick; the rest may take long.
        overview = self._overview()
        response = await rendered(request, self._pool, lambda: self._page(overview))
        response.headers["Content-Security-Policy"] = CSP
        return response

    def _page(self, overview: Overview) -> tuple[bytes, str]:
        # A lone surrogate, which a path may hold, cannot be encoded.
        return self._render(overview).encode(errors="replace"), "text/html; charset=utf-8"


def probe(name: str, reason: Callable[[], str | None]) -> Handler:
    """Make the handler of a probe: 200 when ``reason`` gives None, else 503 with the reason."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        why_not = reason()
        if why_not is None:
            return text(f"qmp-exporter is {name}.")
        return text(f"qmp-exporter is not {name}: {why_not}", 503)

    return answer
