"""Who is named first: of VMs that are met at the same time, the one of the lesser address.

So two VMs of one name are told apart in the same way by every run of the exporter.
"""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush


class Order:
    """The addresses of monitors that are being met for the first time."""

    def __init__(self) -> None:
        self._met: set[str] = set()
        self._heap: list[str] = []  # of these, and of some that have left
        self._waiting: list[tuple[str, int, asyncio.Future[None]]] = []
        self._number = 0  # tells apart those of one address, for the heap

    def enter(self, address: str) -> None:
        """Note that a monitor is being met."""
        if address not in self._met:
            self._met.add(address)
            heappush(self._heap, address)

    def leave(self, address: str) -> None:
        """Note that a monitor was met, or could not be."""
        if address in self._met:
            self._met.remove(address)
            self._wake()

    def turn(self, address: str) -> asyncio.Future[None]:
        """Return what is done once no monitor of a lesser address is being met."""
        future = asyncio.get_running_loop().create_future()
        self._number += 1
        heappush(self._waiting, (address, self._number, future))
        self._wake()
        return future

    def _wake(self) -> None:
        while self._heap and self._heap[0] not in self._met:
            heappop(self._heap)
        while self._waiting and not (self._heap and self._heap[0] < self._waiting[0][0]):
            future = heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)
