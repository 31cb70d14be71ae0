"""A thin QMPClient: qemu.qmp negotiates and executes, this reads.

Stock qemu.qmp keeps every event twice, for ever, prints every message whether it is logged or not,
and reads line by line. Here chunks are read and split; events go straight to a callback, and all
else to qemu.qmp, in the order of the stream.

It relies on these private members of qemu.qmp 0.0.6, which is pinned for that reason:
``RELIED_ON``.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Final

import msgspec
from qemu.qmp import QMPClient
from qemu.qmp.error import ProtocolError
from qemu.qmp.message import Message

from qmp_exporter.catalog.decoder import MAX_EVENT
from qmp_exporter.errors import QmpExporterError
from qmp_exporter.qmp.queries import allowed
from qmp_exporter.qmp.turns import Turns


if TYPE_CHECKING:
    from collections.abc import Callable


RELIED_ON: Final = (
    "_bh_recv_message",
    "_cb_inbound",
    "_cb_outbound",
    "_do_send",
    "_on_message",
    "_reader",
    "_writer",
)

CHUNK: Final = 256 * 1024
"""Bytes read at once."""

AT_ONCE: Final = 64
"""Lines that came before which are taken between two looks at the clock."""

PROBE: Final = "probe"
"""The id of what asks whether a VM is there."""

LONGEST: Final = 512
"""Bytes of an answer to it that is kept; QEMU's own have some hundred."""

KEPT: Final = 64 * 1024
"""Bytes beyond twice of which asyncio reads no more until some were taken."""

# What becomes of connections is logged once, by the session.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL + 1)


class Limits(msgspec.Struct, frozen=True):
    """Limits of what a monitor may send.

    Attributes:
        line: bytes of a line beyond which the connection is given up; replies to our commands are
            smaller.
        lines: lines that one connection may take of one turn of the event loop.
    """

    line: int = 1024 * 1024
    lines: int = 256


class LineError(ProtocolError):
    """A line is longer than a monitor may send."""


def _none_of_them(_lines: list[bytes], start: int, _end: int) -> int:
    return start


class Client(QMPClient):
    """A connection to one monitor; good for one ``connect()``.

    Args:
        on_event: called with each line that is no reply, in the order of the stream: events, and
            what the decoder is to find wrong.
        on_reply: called with the command and its reply, ``return`` or ``error``, in the same order.
        limits: of what the monitor may send.
        turns: shared with all other connections.
        yielded: called each time that it makes way for others with lines left to take.

    Attributes:
        again: called before each line with all lines of a chunk, where that one is and where to
            stop; it may take lines itself, and returns where the first is that it does not.
        on_same: called instead of ``on_reply`` where a probe is answered as the one before, and
            nothing was said in between.
        read_at: monotonic seconds at which a line was last received.
    """

    def __init__(
        self,
        on_event: Callable[[bytes], None],
        on_reply: Callable[[str, Message], None],
        limits: Limits = Limits(),  # noqa: B008 - frozen
        turns: Turns | None = None,
        yielded: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(readbuflen=KEPT)
        self.events.event_filter = lambda _: False
        self._limits = limits
        self._turns = turns or Turns()
        self._yielded = yielded
        self._on_event = on_event
        self._on_reply = on_reply
        self._sent: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._size = 0
        self.read_at = monotonic()
        self.again: Callable[[list[bytes], int, int], int] = _none_of_them
        self.on_same: Callable[[], None] | None = None
        self._answer: bytes | None = None  # to the last probe, if nothing was said since

    def probe(self, command: str) -> None:
        """Send a command without arguments, whose reply goes to ``on_reply`` alone.

        It is asked of every quiet VM again and again, so it takes the short way, and so does an
        answer that tells nothing new. Until it is answered it is not to be called again.
        """
        if not allowed(command, None):
            raise QmpExporterError(f"{command!r} is not a command that may be sent to a VM")
        if self._writer is not None and not self._writer.transport.is_closing():
            self._sent[PROBE] = command
            self._writer.write(b'{"execute":"%b","id":"%b"}' % (command.encode(), PROBE.encode()))

    def abort(self) -> None:
        """Close the connection without waiting for anything."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def _bh_recv_message(self) -> None:
        assert self._reader is not None  # noqa: S101 - qemu.qmp set it before it calls this
        try:
            chunk = await self._reader.read(CHUNK)
        except ConnectionError:
            # QEMU ended with a question of ours unread. What it said before is here, but asyncio
            # raises first; the next read raises again.
            buffered: bytearray = self._reader._buffer  # type: ignore[attr-defined] # noqa: SLF001
            if not buffered:
                raise
            chunk = bytes(buffered)
            buffered.clear()
        if not chunk:
            raise EOFError
        self._size += len(chunk)
        self._parts.append(chunk)
        lines: list[bytes] = []
        if b"\n" in chunk:
            self.read_at = monotonic()
            lines = b"".join(self._parts).split(b"\n")
            rest = lines.pop()
            self._parts, self._size = [rest], len(rest)
        limit, fit, probed = self._limits.line, len(lines), PROBE in self._sent
        if probed and lines == [self._answer] and self.on_same is not None and self._size <= limit:
            del self._sent[PROBE]
            self.on_same()
            return
        # Only where a chunk holds whole lines that are too long: all others are the first.
        if max(map(len, lines), default=0) > limit:
            fit = next(at for at, line in enumerate(lines) if len(line) > limit)
        self._answer = None
        made_way = await self._take(lines[:fit])
        if probed and PROBE not in self._sent and len(lines) == 1 and len(lines[0]) <= LONGEST:
            (self._answer,) = lines
        if fit < len(lines) or self._size > limit:
            raise LineError(f"a line of more than {limit} bytes")
        if made_way or len(chunk) == CHUNK:
            await self._turns.next()  # the next chunk may be here already, and would not wait

    async def _take(self, lines: list[bytes]) -> bool:
        """Take lines; return whether that was interrupted for others."""
        most, turns, again = self._limits.lines, self._turns, self.again
        at, total, made_way = 0, len(lines), False
        taken, due = 0, monotonic() + turns.share
        while at < total:
            begun = at
            at = again(lines, at, at + min(most - taken, AT_ONCE))
            if at == begun:
                line = lines[at]
                if line.startswith(b'{"timestamp"'):
                    self._on_event(line)
                else:
                    await self._take_other(line)
                at += 1
            taken += at - begun
            if taken >= most or monotonic() >= due:
                self._yielded()
                await turns.next()
                made_way = True
                taken, due = 0, monotonic() + turns.share
        return made_way

    async def _take_other(self, line: bytes) -> None:
        if not line or line.isspace():
            return
        if len(line) > MAX_EVENT and not self._sent:
            self._on_event(line)  # no reply, as nothing was asked: not worth the time to read it
            return
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and "event" not in found:
            await self._on_message(Message(found, eager=False))  # nobody wants it as text again
        else:
            self._on_event(line)

    async def _on_message(self, msg: Message) -> None:
        found = msg.get("id")
        command = self._sent.pop(found, None) if isinstance(found, str) else None
        if command is not None:
            self._on_reply(command, msg)
            if found == PROBE:
                return
        elif "id" in msg or "error" not in msg:
            return  # of nobody: the library would print it, and fails for an id that is no text
        await super()._on_message(msg)

    def _do_send(self, msg: Message) -> None:
        super()._do_send(msg)
        writer, reader = self._writer, self._reader
        if writer is not None and reader is not None and writer.transport.is_closing():
            # QEMU has gone, and asyncio throws away what it said before: read it while it is there.
            fd = writer.get_extra_info("socket").fileno()
            with suppress(OSError):
                while fd >= 0 and (rest := os.read(fd, CHUNK)):
                    reader.feed_data(rest)

    def _cb_inbound(self, msg: Message) -> Message:
        return msg

    def _cb_outbound(self, msg: Message) -> Message:
        """Let through what is on the list of commands, and nothing else."""
        command = msg.get("execute")
        if not allowed(command, msg.get("arguments")) or "exec-oob" in msg:
            raise QmpExporterError(f"{command!r} is not a command that may be sent to a VM")
        found = msg.get("id")
        if isinstance(found, str):
            self._sent[found] = str(command)
        return msg
