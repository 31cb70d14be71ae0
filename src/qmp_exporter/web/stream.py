"""The stream of events: server-sent events (WHATWG HTML, section 9.2) out of the journal.

Nobody is woken for an event: each stream looks at the journal a few times a second, and only when
its client has taken what it was given before. So a slow client has nothing in memory but its last
answer, and is told how much it missed.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from qmp_exporter.journal import Filter

from .library import web
from .reply import text


if TYPE_CHECKING:
    from collections.abc import Callable

    from multidict import MultiMapping

    from qmp_exporter.journal import Entry, Journal


STREAMS = 32
"""At a time."""

LOOK = 0.2
"""Seconds between two looks at the journal."""

CHANGES = 1.0
"""Least seconds between two messages that something else changed."""

HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent, so that nobody on the way hangs up."""

PATIENCE = 30.0
"""Seconds that a client may take to read what it was given."""

_BATCH = 64
"""Entries in one write."""

_KNOWN = ("vm", "event", "after")


class Stream:
    """Handler of ``/events``.

    Args:
        journal: what is told.
        rejected: called with the status code of each request that was turned away.
    """

    def __init__(self, journal: Journal, rejected: Callable[[str], None]) -> None:
        self._journal = journal
        self._rejected = rejected
        self._open = 0
        self._closing = False

    async def close(self, _app: web.Application) -> None:
        """End all streams within a look (a signal handler of ``on_shutdown``)."""
        self._closing = True

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer until the client or the server goes."""
        unknown = next((key for key in request.query if key not in _KNOWN), None)
        if unknown is not None:
            return text(f"found the parameter {unknown!r}; expected vm, event or after", 400)
        if self._open >= STREAMS:
            self._rejected("503")
            return text(f"{STREAMS} streams are open, which is the limit; try again later", 503)
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # nginx would keep it until it is long enough
            }
        )
        self._open += 1
        try:
            await response.prepare(request)
            if request.method != "HEAD":
                await self._follow(request, response)
        except ConnectionError:
            pass  # the client went
        finally:
            self._open -= 1
        return response

    async def _follow(self, request: web.Request, response: web.StreamResponse) -> None:
        journal, wanted = self._journal, filter_of(request.query)
        number = self._begin(request)
        changes, told_at = journal.changes, 0.0
        sent_at = taken_at = monotonic()
        await response.write(b"retry: 1000\n" + self._at(number) + b"\n")
        while not self._closing:
            transport = request.transport
            if transport is None or transport.is_closing():
                return
            now, chunk, more = monotonic(), b"", False
            if not transport.get_write_buffer_size():
                taken_at = now
                before = number
                chunk, number = self._news(number, wanted)
                more = number < journal.last
                if not chunk and journal.changes != changes and now - told_at >= CHANGES:
                    chunk = self._at(number) + b"event: changed\ndata: {}\n\n"
                if chunk:
                    changes, told_at = journal.changes, now
                elif number == before and now - sent_at >= HEARTBEAT:
                    chunk = b":\n\n"
            elif now - taken_at >= PATIENCE:
                transport.abort()
                return
            if chunk:
                sent_at = now
                try:
                    async with asyncio.timeout(PATIENCE):
                        await response.write(chunk)
                except TimeoutError:
                    transport.abort()
                    return
            await asyncio.sleep(0 if more else LOOK)

    def _begin(self, request: web.Request) -> int:
        """Return the number after which to go on; of another run, all that there is."""
        after = request.headers.get("Last-Event-ID") or request.query.get("after") or ""
        run, _, digits = after.partition("-")
        if not after:
            return self._journal.last
        if run != self._journal.run or not digits.isascii() or not digits.isdecimal():
            return 0
        return min(int(digits[:18]), self._journal.last)

    def _news(self, number: int, wanted: Filter) -> tuple[bytes, int]:
        """Return messages of what is new after ``number``, and the number that they reach to."""
        journal = self._journal
        if number == journal.last:
            return b"", number
        entries, missed = journal.since(number, _BATCH)
        number += missed
        told = [self._at(number) + _skipped(missed)] if missed else []
        for entry in entries:
            number = entry.number
            if wanted.takes(entry):
                told.append(self._at(number) + _message(entry))
        return b"".join(told), number

    def _at(self, number: int) -> bytes:
        """Return the line that tells a client where it is, so that it can go on from there."""
        return f"id: {self._journal.run}-{number}\n".encode()


def filter_of(query: MultiMapping[str]) -> Filter:
    """What is asked for with ``vm`` and ``event``; an empty value asks for nothing."""
    vms, events = query.getall("vm", ()), query.getall("event", ())
    return Filter(frozenset(filter(None, vms)), frozenset(filter(None, events)))


def position(journal: Journal) -> str:
    """Where a stream that begins now begins, for ``after``."""
    return f"{journal.run}-{journal.last}"


def _message(entry: Entry) -> bytes:
    told = {
        "vm": entry.vm,
        "event": entry.event,
        "time": entry.time,
        "details": entry.details,
        "severity": entry.severity.name.lower(),
        "count": entry.count,
    }
    # JSON has no line break in it, so it is one line of data.
    return b"data: " + msgspec.json.encode(told) + b"\n\n"


def _skipped(count: int) -> bytes:
    return f'event: skipped\ndata: {{"skipped":{count}}}\n\n'.encode()
