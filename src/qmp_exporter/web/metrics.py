"""The telemetry path: what Prometheus scrapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from qmp_exporter.errors import RequestError

from .filters import wanted
from .reply import rendered, send, text


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor

    from aiohttp import web

    from qmp_exporter.telemetry.body import Body


class Render(Protocol):
    """Renders all metrics.

    Called in a thread, in several at once; it may take its time.
    """

    def __call__(self, accept: str | None, names: frozenset[str]) -> tuple[Body, str]:
        """The exposition in the format that was asked for.

        Args:
            accept: the ``Accept`` header; None where the client sent none.
            names: only the series of these names; all where it is empty.

        Returns:
            The body and its content type.
        """


class Metrics:
    """Handler of GET and HEAD, at most ``limit`` at a time (0: no limit).

    A request holds its place until the client has read the answer, so the limit bounds the
    bodies in memory too. ``groups`` are the names of the series of each group; ``rejected`` is
    called with the status code of each one turned away.
    """

    def __init__(
        self,
        render: Render,
        groups: Mapping[str, frozenset[str]],
        pool: Executor,
        limit: int,
        rejected: Callable[[str], None],
    ) -> None:
        self._render = render
        self._groups = groups
        self._pool = pool
        self._limit = limit
        self._rejected = rejected
        self._busy = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a scrape."""
        try:
            names = wanted(request.query, self._groups)
        except RequestError as error:
            self._rejected("400")
            return text(str(error), error.status)
        if self._limit and self._busy >= self._limit:
            self._rejected("503")
            reason = f"{self._busy} scrapes are under way, which is the limit; try again later"
            return text(reason, 503)
        self._busy += 1
        try:
            return await self._answer(request, names)
        finally:
            self._busy -= 1

    async def _answer(self, request: web.Request, names: frozenset[str]) -> web.StreamResponse:
        # Several header lines of one name are one list (RFC 9110, section 5.3).
        accept = ", ".join(request.headers.getall("Accept", ())) or None
        response = await rendered(request, self._pool, lambda: self._render(accept, names))
        response.headers["Vary"] = "Accept, Accept-Encoding"
        await send(request, response)
        return response
