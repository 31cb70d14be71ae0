"""A monitor for tests that dials in, as `-chardev socket,path=...,reconnect=...` does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fake_qmp import FakeMonitor, cancel


if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self


class FakeDialler(FakeMonitor):
    """A QMP monitor that dials, and dials again when it was hung up on.

    Args:
        to: the path that it dials.
        reconnect: seconds before it dials again.
        knobs: of `FakeMonitor`.
    """

    def __init__(self, to: Path, *, reconnect: float = 0.01, **knobs: Any) -> None:
        super().__init__(to, **knobs)
        self._to = to
        self._reconnect = reconnect

    async def __aenter__(self) -> Self:
        self._address = str(self._to)
        self._stack.push_async_callback(cancel, asyncio.create_task(self._dial()))
        return self

    async def _dial(self) -> None:
        while True:
            try:
                client = await asyncio.open_unix_connection(self._to)
            except OSError:
                await asyncio.sleep(self._reconnect)
                continue
            await self._attend(*client)
            await asyncio.sleep(self._reconnect)
