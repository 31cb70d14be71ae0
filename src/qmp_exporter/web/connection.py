"""One connection: request after request, each within its time, and no answer but one to each."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from qmp_exporter.errors import RequestError

from .head import FIELDS, HEAD, LINE, take
from .library import HttpProcessingError, web
from .reply import refusal, text


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from .places import Place


KEEPALIVE: Final = 75.0
"""Seconds without a request after which a connection is closed, the first one included.

Longer than a common scrape interval, so that Prometheus keeps its connection.
"""

HEAD_TIMEOUT: Final = 10.0
"""Seconds from the first byte of a request to the last one of its head."""

LINGER: Final = 2.0
"""Seconds in which a client that was refused may read why, while it still sends."""

NO_PLACE: Final = RequestError("all connections are taken; try again later", 503)
"""What a client is told that has to go, or cannot come in."""

# Bytes that a client may send ahead while its request is under way.
_AHEAD = 64 * 1024
_NEVER = 1e9
_TOO_SLOW = RequestError(
    f"the request was not complete within {HEAD_TIMEOUT:.0f} s; expected all of it", 408
)


class Connection(web.RequestHandler):
    """Hands aiohttp one whole, well-formed head at a time, and the next when that is answered.

    So aiohttp never waits for a client in the midst of a request, and holds nothing of it.

    Args:
        manager: aiohttp's server.
        place: what it takes up.
        left: called when it takes up nothing any more.
        rejected: called with the status code of each request turned away; ``none`` for an idle
            connection that had to give way.
        loop: the running one.
    """

    def __init__(
        self,
        manager: web.Server,
        place: Place,
        *,
        left: Callable[[Place], None],
        rejected: Callable[[str], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=_NEVER,  # it is measured here
            access_log=None,  # type: ignore[arg-type]  # none is none, whatever the annotation
            logger=_Log(logging.getLogger(__name__), {}),  # type: ignore[arg-type]
            max_line_size=LINE,
            max_field_size=HEAD,
            max_headers=FIELDS,
            lingering_time=0,
            auto_decompress=False,
        )
        self._place = place
        self._left = left
        self._rejected = rejected
        self._timer: asyncio.TimerHandle | None = None
        self._received = bytearray()
        self._reading = False
        self._over = False  # nothing more is read
        self._held = 2  # by the transport, and by the task that answers

    # ---- what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request."""
        self._place.leave = self._give_way
        super().connection_made(transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        """Take in what a client sent, or let it drop."""
        if self._over:
            return
        self._received += data
        if not self._place.busy:
            self._next()
        elif self.transport is not None:  # it does not wait for its answer
            self.transport.pause_reading()
        del self._received[_AHEAD + 1 :]  # one byte more tells that it was too much

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget it."""
        self._over = True
        self._wait(0)
        self._received.clear()
        super().connection_lost(exc)
        self._release()

    # ---- what aiohttp calls

    async def start(self) -> None:
        """Answer requests until the connection ends."""
        try:
            await super().start()
        finally:
            self._release()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer, and turn to the next request."""
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._over = self._over or not resp.keep_alive
            self._loop.call_soon(self._answered)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  aiohttp's repeats the request
    ) -> web.StreamResponse:
        """Make the answer to what no handler has answered."""
        self.log_exception("cannot answer", exc_info=exc)
        if request.writer.output_size:
            raise ConnectionError("the answer has begun")
        self._rejected(str(status))
        found = "the request cannot be understood" if status < 500 else "internal error"  # noqa: PLR2004
        response = text(found, status)
        response.force_close()
        return response

    # ----

    def _next(self) -> None:
        """Look at what was received for the next request."""
        if not self._received:
            self._reading = False
            self._wait(KEEPALIVE, self.force_close)
            return
        try:
            head = take(self._received)
        except RequestError as error:
            self._refuse(error)
            return
        if head is not None:
            del self._received[: head.size]
            self._reading = False
            self._place.busy = True
            self._wait(0)
            super().data_received(head.text)
        elif not self._reading:
            self._reading = True
            self._wait(HEAD_TIMEOUT, self._too_slow)

    def _answered(self) -> None:
        self._place.busy = False
        self._place.served = True
        self._place.since = self._loop.time()
        if self._over or self.transport is None:
            self._over = True
            self._received.clear()
        elif len(self._received) > _AHEAD:  # it sends requests and does not wait for answers
            self._hang_up()
        else:
            self.transport.resume_reading()
            self._next()

    def _too_slow(self) -> None:
        self._refuse(_TOO_SLOW)

    def _refuse(self, refused: RequestError) -> None:
        """Say why, and hang up."""
        self._rejected(str(refused.status))
        if self.transport is not None:
            head = self._received.startswith((b"HEAD ", b"\r\nHEAD "))
            self.transport.write(refusal(refused, head=head))
            self._hang_up()

    def _hang_up(self) -> None:
        """Send nothing more, and let go of the connection when the client has had time to read."""
        assert self.transport is not None  # noqa: S101 - it was looked at
        self._over = True
        self._received.clear()
        self.transport.resume_reading()
        # What a client goes on sending is dropped for a while: to close at once is a reset for it,
        # which can overtake the answer (RFC 9112, section 9.6).
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._wait(LINGER, self.force_close)

    def _give_way(self) -> None:
        """Make room for another one."""
        if self._place.busy:
            self._rejected("503")
        elif self._received:
            self._refuse(NO_PLACE)
        elif not self._over:
            self._rejected("none")
        transport = self.transport
        self.force_close()
        if self._place.busy and transport is not None:
            transport.abort()  # it may not read what it asked for

    def _wait(self, seconds: float, then: Callable[[], Any] | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, then) if then is not None else None

    def _release(self) -> None:
        self._held -= 1
        if not self._held:
            self._left(self._place)


class _Log(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log, with malformed requests at debug: they are the doing of the client."""

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        error = kwargs.get("exc_info")
        if isinstance(error, HttpProcessingError):
            self.debug("malformed request: %s", error.message)
        else:
            super().exception(msg, *args, **kwargs)
