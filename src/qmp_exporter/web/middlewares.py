"""What holds for every request, whatever its path."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .library import web
from .reply import HEADERS, send, text


if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler, Middleware


log = logging.getLogger(__name__)


async def harden(_request: web.Request, response: web.StreamResponse) -> None:
    """Set the headers that every answer carries (a signal handler of ``on_response_prepare``)."""
    response.headers["Server"] = HEADERS["Server"]  # aiohttp has set one
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


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


def plain(rejected: Callable[[str], None]) -> Middleware:
    """Nothing at a path, or not by that method, is told in one line of text.

    Args:
        rejected: called with the status code.
    """

    @web.middleware
    async def tell(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPMethodNotAllowed as error:
            allowed = sorted(error.allowed_methods)
            allow = {"Allow": ", ".join(allowed)}
            if request.method == "OPTIONS":
                return web.Response(status=204, headers=allow)
            rejected("405")
            response = text(f"found {request.method}; expected {' or '.join(allowed)}", 405)
            response.headers.update(allow)
            return response
        except web.HTTPNotFound:
            rejected("404")
            return text("nothing is at this path; / has links to all there is", 404)

    return tell
