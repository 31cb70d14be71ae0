"""What holds for every request, whatever its path."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aiohttp import web

from .reply import send, text


if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler, Middleware


log = logging.getLogger(__name__)


async def harden(_request: web.Request, response: web.StreamResponse) -> None:
    """Set the headers that every answer carries (a signal handler of ``on_response_prepare``)."""
    response.headers["Server"] = "qmp-exporter"
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")


@web.middleware
async def deadline(request: web.Request, handler: Handler) -> web.StreamResponse:
    """No answer stays in memory for a client that does not read it."""
    response = await handler(request)
    await send(request, response)
    return response


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What goes wrong is told to the log; to the client only that it did."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception:
        log.exception("cannot answer %s %r", request.method, request.path)
        return text("internal error; the log of qmp-exporter says more", 500)


def bodyless(rejected: Callable[[str], None]) -> Middleware:
    """Nobody has anything to send to us: a request with a body is refused, the body not read."""

    @web.middleware
    async def refuse_body(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.body_exists:
            return await handler(request)
        rejected("413")
        response = text("a request to qmp-exporter has no body", 413)
        response.force_close()
        return response

    return refuse_body
