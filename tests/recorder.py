"""The list of what may be sent to a VM, literally, and a proxy that holds a client to it.

Nothing here is shared with the exporter: the list is written down a second time on purpose.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Final


if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self


LISTED: Final = {
    "qmp_capabilities": ("{}", '{"enable": ["oob"]}'),
    "query-name": ("{}",),
    "query-uuid": ("{}",),
    "query-target": ("{}",),
    "query-status": ("{}",),
    "query-block": ("{}",),
    "query-migrate": ("{}",),
    "query-migrate-capabilities": ("{}",),
    "query-vnc-servers": ("{}",),
    "query-spice": ("{}",),
    "query-balloon": ("{}",),
    "query-jobs": ("{}",),
    "query-blockstats": ("{}",),
    "migrate-set-capabilities": ('{"capabilities": [{"capability": "events", "state": true}]}',),
}
"""From each command to the arguments that it may have, as JSON."""


def strangers(sent: bytes) -> list[str]:
    """Return what is not on the list in the bytes that one or more clients sent; best nothing."""
    text = sent.decode("utf-8", "backslashreplace")
    decoder = json.JSONDecoder(object_pairs_hook=_members)
    found: list[str] = []
    rest = text.lstrip()
    while rest:
        try:
            message, end = decoder.raw_decode(rest)
        except ValueError:
            return [*found, rest[:200]]
        if not _listed(message):
            found.append(rest[:end])
        rest = rest[end:].lstrip()
    return found


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; one that has a member twice could mean this to one and that to another."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def _listed(message: object) -> bool:
    if not isinstance(message, dict) or not {"execute", "arguments", "id"} >= message.keys():
        return False
    command, arguments = message.get("execute"), message.get("arguments", {})
    return isinstance(command, str) and json.dumps(arguments) in LISTED.get(command, ())


class Recorder:
    """A proxy before the monitor of a real QEMU, as an asynchronous context manager.

    It fails its test at the end if its clients sent anything that is not on the list. A client for
    which the monitor cannot be dialled is hung up on.

    Args:
        path: where it listens.
        monitor: the socket of QEMU's monitor.

    Attributes:
        sent: every byte from every client.
    """

    def __init__(self, path: Path, monitor: Path) -> None:
        self.sent = bytearray()
        self._path = path
        self._monitor = monitor
        self._stack = contextlib.AsyncExitStack()
        self._clients: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        server = await asyncio.start_unix_server(self._take, self._path, backlog=1)
        self._stack.callback(self._path.unlink, missing_ok=True)
        self._stack.push_async_callback(self._hang_up)
        self._stack.callback(server.close)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()
        if kind is None:
            found = strangers(bytes(self.sent))
            assert not found, found

    async def _hang_up(self) -> None:
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs, to_qemu = await asyncio.open_unix_connection(self._monitor)
        except OSError:
            writer.transport.abort()
            return
        try:
            ways = (
                asyncio.create_task(self._pass_on(reader, to_qemu, self.sent)),
                asyncio.create_task(self._pass_on(theirs, writer, None)),
            )
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            writer.transport.abort()
            to_qemu.transport.abort()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        record: bytearray | None,
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65536):
                if record is not None:
                    record += chunk
                writer.write(chunk)
                await writer.drain()
