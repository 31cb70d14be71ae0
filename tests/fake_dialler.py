"""A monitor for tests that dials in, as `-chardev socket,path=...,reconnect=...` does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fake_qmp import FakeMonitor


if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self


class FakeDialler(FakeMonitor):
    """A QMP monitor that dials, and dials again when it was hung up on.

    Args:
        to: the path that it dials.
        reconnect: seconds before it dials again.
        knobs: of `FakeMonitor`.

    Attributes:
        hung_up: how many connections ended before they were negotiated.
    """

    def __init__(self, to: Path, *, reconnect: float = 0.01, **knobs: Any) -> None:
        super().__init__(to, **knobs)
        self._to = to
        self._reconnect = reconnect
        self._dialling: asyncio.Task[None]
        self.hung_up = 0

    async def __aenter__(self) -> Self:
        self._address = str(self._to)
        self._dialling = asyncio.create_task(self._dial())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._dialling.cancel()
        await asyncio.wait((self._dialling,))

    async def wait_hung_up(self, times: int = 1) -> None:
        """Wait until so many connections have ended before they were negotiated."""
        await self._until(lambda: self.hung_up >= times, f"{times} hang-ups")

    async def _dial(self) -> None:
        while True:
            try:
                reader, self._writer = await asyncio.open_unix_connection(self._to)
            except OSError:
                await asyncio.sleep(self._reconnect)
                continue
            self.connections += 1
            try:
                await self._tell()
                await self._converse(reader, self._writer)
            except ConnectionError:
                pass  # hung up on while it spoke
            finally:
                self.hung_up += not self._negotiated
                self._writer.transport.abort()
                self._writer, self._negotiated = None, False
            await self._tell()
            await asyncio.sleep(self._reconnect)
