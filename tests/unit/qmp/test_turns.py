"""How the time of the event loop is shared among floods."""

from __future__ import annotations

import asyncio

from qmp_exporter.qmp.turns import LEAST, MOST, TURN, Turns


async def test_the_more_floods_the_less_has_each() -> None:
    """Together no more than a turn, each something, none more than alone."""
    turns = Turns()
    shares: list[float] = [turns.share]

    async def flood() -> None:
        for _ in range(3):
            await turns.next()
            shares.append(turns.share)

    await asyncio.gather(*(flood() for _ in range(10)))
    assert shares[0] == MOST
    assert min(shares) == TURN / 10
    await asyncio.gather(*(flood() for _ in range(1000)))
    assert min(shares) == LEAST
    assert turns.share == MOST


async def test_who_is_cancelled_has_no_share() -> None:
    """A session that ends while it waits leaves its time to the others."""
    turns = Turns()
    task = asyncio.create_task(turns.next())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    assert turns._waiting == 0
