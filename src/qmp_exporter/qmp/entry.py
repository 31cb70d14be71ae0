"""How many monitors are connected at a time.

Thousands that are found at once would all be half connected for so long that what they wait for
comes too late, and would begin again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import Callable


PLACES: Final = 64

LONGEST: Final = 0.5
"""Seconds that one is had at most: who does not answer is not to keep others out."""


class Entry:
    """Places for those who connect; who comes first has one first.

    Args:
        places: so many.
    """

    def __init__(self, places: int = PLACES) -> None:
        self._free = places
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> Callable[[], None]:
        """Wait for a place; return what gives it back, as happens by itself after ``LONGEST``."""
        if self._free and not self._waiting:
            self._free -= 1
        else:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # it had a place already
                    self._leave()
                raise
        return _Place(self._leave).leave

    def _leave(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)  # the place goes to who waits longest
                return
        self._free += 1


class _Place:
    """A place that is given back once."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back = give_back
        self._timer = asyncio.get_running_loop().call_later(LONGEST, self.leave)
        self._had = True

    def leave(self) -> None:
        if self._had:
            self._had = False
            self._timer.cancel()
            self._give_back()
