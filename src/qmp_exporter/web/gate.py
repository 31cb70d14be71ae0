"""What the web configuration file asks of every request, and adds to every answer.

In the order of Go's exporter-toolkit: first the rate, then the password.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .library import web
from .passwords import BusyError, Passwords, credentials
from .reply import text


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Handler, Middleware

    from .security import Security


def gate(security: Security, rejected: Callable[[str], None]) -> Middleware:
    """Make the middleware that lets requests through.

    Args:
        security: says which.
        rejected: called with the status code of each one that is not.
    """
    passwords = Passwords()

    @web.middleware
    async def let_through(request: web.Request, handler: Handler) -> web.StreamResponse:
        state = security.state
        if state.bucket is not None and not state.bucket.take():
            rejected("429")
            return text("more requests than rate_limit lets through; try again later", 429)
        if users := state.file.users:
            given = credentials(request.headers.get("Authorization", ""))
            try:
                good = given is not None and await passwords.good(users, *given)
            except BusyError:
                rejected("503")
                return text("too many passwords are being checked; try again later", 503)
            if not good:
                rejected("401")
                response = text("a user and a password are needed", 401)
                response.headers["WWW-Authenticate"] = "Basic"
                return response
        return await handler(request)

    return let_through


def headers(
    security: Security,
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Make the signal handler that sets the headers, but none that an answer has of its own."""

    async def set_headers(_request: web.Request, response: web.StreamResponse) -> None:
        for name, value in security.state.file.headers.items():
            response.headers.setdefault(name, value)

    return set_headers
