"""How an answer leaves: rendered off the loop, with the same headers on all, within a deadline."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from qmp_exporter.telemetry.body import gzipped, plain

from .library import web
from .negotiation import accepts_gzip


if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from qmp_exporter.errors import RequestError
    from qmp_exporter.telemetry.body import Body


# Seconds that a client may take to read one answer; it holds the memory of the body meanwhile.
SEND_TIMEOUT = 30.0
# Bytes of a body to hand over at once. asyncio's TLS does not know how much the transport below it
# holds: it says wait with the next piece, and of a body in one piece it takes all.
_PIECE = 128 * 1024

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Server": "qmp-exporter",
    "X-Content-Type-Options": "nosniff",
}
"""What every answer carries, unless it says something else itself."""


def text(message: str, status: int = 200) -> web.Response:
    """One line of plain text."""
    return web.Response(text=f"{message}\n", status=status)


def refusal(refused: RequestError, *, head: bool = False) -> bytes:
    """The answer, byte for byte, to a request that never reached the application.

    Args:
        refused: why.
        head: the request is a HEAD, whose answer has no body (RFC 9110, section 9.3.2).
    """
    body = f"{refused}\n".encode()
    headers = HEADERS | {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {refused.status} {HTTPStatus(refused.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if head else body)


async def rendered(
    request: web.Request, pool: Executor, produce: Callable[[], tuple[Body, str]]
) -> web.Response:
    """Call ``produce`` for a body and its content type, and pack it, both in a thread of ``pool``.

    Raises:
        Exception: whatever ``produce`` raises.
    """
    packed = accepts_gzip(request.headers.get("Accept-Encoding"))

    def work() -> tuple[bytes, str]:
        body, content_type = produce()
        return gzipped(body) if packed else plain(body), content_type

    body, content_type = await asyncio.get_running_loop().run_in_executor(pool, work)
    headers = {"Content-Type": content_type, "Vary": "Accept-Encoding"}
    if packed:
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, headers=headers)


async def send(request: web.Request, response: web.StreamResponse) -> None:
    """Write the whole answer to the kernel, or drop the connection after ``SEND_TIMEOUT``.

    Left to itself, aiohttp hands the body to a transport that keeps it until the client reads.
    """
    transport = request.transport
    if transport is None:  # the client has gone; aiohttp finds out by itself
        return
    # Not 0: asyncio's TLS says wait at its limit, not above it, so also where nothing is left.
    transport.set_write_buffer_limits(1, 0)
    try:
        async with asyncio.timeout(SEND_TIMEOUT):
            if await response.prepare(request) is not None:
                await _finish(request, response)
    except ConnectionError:
        pass
    except TimeoutError:
        transport.abort()
    except asyncio.CancelledError:  # the server stops, and this client has had its time
        transport.abort()
        raise


async def _finish(request: web.Request, response: web.StreamResponse) -> None:
    """Write the body, if it is not written as it comes, and the end."""
    body = response.body if isinstance(response, web.Response) else None
    if isinstance(body, bytes) and len(body) > _PIECE and request.method != "HEAD":
        left = memoryview(body)
        while len(left) > _PIECE:
            await response.write(left[:_PIECE])
            left = left[_PIECE:]
        await web.StreamResponse.write_eof(response, bytes(left))
    else:
        await response.write_eof()
