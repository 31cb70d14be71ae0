"""The landing page and the probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qmp_exporter.telemetry.body import Piece

from .html import CSP, render_links, render_machine, render_overview
from .html.events import LISTED
from .html.landing import Asked
from .reply import rendered, text
from .stream import filter_of, position


if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from aiohttp import web
    from aiohttp.typedefs import Handler

    from qmp_exporter.journal import Journal
    from qmp_exporter.telemetry.body import Body

    from .machine import Machine
    from .overview import Overview


class Landing:
    """Handler of ``/``: the virtual machines, or links only where ``page`` is off."""

    def __init__(
        self, overview: Callable[[], Overview], journal: Journal, pool: Executor, *, page: bool
    ) -> None:
        self._overview = overview
        self._journal = journal
        self._pool = pool
        self._page = page

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer with the page."""
        query = request.query

        def page() -> str:
            if not self._page:
                return render_links(self._overview())
            wanted, after = filter_of(query), position(self._journal)
            entries = self._journal.newest(LISTED, wanted)
            return render_overview(
                self._overview(), Asked(query.get("q", ""), wanted, entries, after)
            )

        return await _document(request, self._pool, page)


class Machines:
    """Handler of ``/vm?name=NAME``."""

    def __init__(
        self, machine: Callable[[str], Machine | None], journal: Journal, pool: Executor
    ) -> None:
        self._machine = machine
        self._journal = journal
        self._pool = pool

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer with the page of a machine."""
        name = request.query.get("name")
        if name is None:
            return text("no parameter name; expected /vm?name=NAME", 400)
        after = position(self._journal)
        machine = self._machine(name)
        if machine is None:
            return text("no virtual machine of that name is known", 404)
        return await _document(request, self._pool, lambda: render_machine(machine, after))


async def _document(
    request: web.Request, pool: Executor, page: Callable[[], str]
) -> web.StreamResponse:
    def body() -> tuple[Body, str]:
        # A lone surrogate, which a path may hold, cannot be encoded.
        return (Piece(page().encode(errors="replace")),), "text/html; charset=utf-8"

    response = await rendered(request, pool, body)
    response.headers["Content-Security-Policy"] = CSP
    return response


def probe(name: str, reason: Callable[[], str | None]) -> Handler:
    """Make the handler of a probe: 200 when ``reason`` gives None, else 503 with the reason."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        why_not = reason()
        if why_not is None:
            return text(f"qmp-exporter is {name}.")
        return text(f"qmp-exporter is not {name}: {why_not}", 503)

    return answer
