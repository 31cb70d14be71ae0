"""What an operator does over HTTP: look at the configuration, and have it read again."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from qmp_exporter.errors import QmpExporterError
from qmp_exporter.telemetry.body import Piece

from .reply import rendered, text


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Executor

    from aiohttp import web
    from aiohttp.typedefs import Handler


log = logging.getLogger(__name__)


class Reload:
    """Handler of ``POST /-/reload``.

    One reload is under way at a time. Who comes meanwhile is told of the next one, which they all
    share.

    Args:
        reload: reads the configuration again; raises ``QmpExporterError`` where it cannot.
        ready: None while the exporter runs, else the reason why it does not.
        rejected: called with the status code of each request that was turned away.
    """

    def __init__(
        self,
        reload: Callable[[], Awaitable[None]],
        ready: Callable[[], str | None],
        rejected: Callable[[str], None],
    ) -> None:
        self._reload = reload
        self._ready = ready
        self._rejected = rejected
        self._under_way = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None

    async def handle(self, request: web.Request) -> web.Response:
        """Answer when the configuration was read."""
        if not _same_origin(request):
            self._rejected("403")
            return text("found a request of another web site; expected one of our own page", 403)
        if (why_not := self._ready()) is not None:
            return text(f"qmp-exporter is not ready: {why_not}", 503)
        if self._next is None:
            self._next = asyncio.create_task(self._run())
        try:
            await asyncio.shield(self._next)
        except QmpExporterError as error:
            return text(f"the configuration stays as it was: {error}", 500)
        return text("the configuration was read again")

    async def _run(self) -> None:
        async with self._under_way:
            self._next = None
            try:
                await self._reload()
            except QmpExporterError as error:
                log.error("the configuration stays as it was: %s", error)  # noqa: TRY400 - one line
                raise


def shown(config: Callable[[], str], pool: Executor) -> Handler:
    """Make the handler of ``/config``; ``config`` gives the text, in a thread of ``pool``."""

    async def answer(request: web.Request) -> web.StreamResponse:
        kind = "text/plain; charset=utf-8"
        return await rendered(request, pool, lambda: ((Piece(config().encode()),), kind))

    return answer


def _same_origin(request: web.Request) -> bool:
    """Whether a request is not one that a page of another site made a browser send.

    Browsers of today say so in Sec-Fetch-Site, older ones name the site in Origin; other programs
    send neither. Source: Fetch Metadata Request Headers (W3C); RFC 6454, section 7.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    try:
        site = urlsplit(origin).netloc
    except ValueError:  # it names none
        return False
    return site.lower() == request.host.lower() != ""
