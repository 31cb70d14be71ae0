"""Time of the event loop, shared among the monitors that send more than can be taken at once."""

from __future__ import annotations

import asyncio
from typing import Final


TURN: Final = 0.004
"""Seconds of one turn of the loop that all floods together may take."""

MOST: Final = 0.001
LEAST: Final = 0.0001
"""Seconds that one flood may take of it, beside few others and beside many."""


class Turns:
    """The turns of those who have more to take."""

    def __init__(self) -> None:
        self._waiting = 0

    @property
    def share(self) -> float:
        """Seconds that may be taken now."""
        return max(LEAST, min(MOST, TURN / (self._waiting + 1)))

    async def next(self) -> None:
        """Let all others have theirs."""
        self._waiting += 1
        try:
            await asyncio.sleep(0)
        finally:
            self._waiting -= 1
