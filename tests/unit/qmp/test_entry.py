"""Places for those who connect."""

from __future__ import annotations

import asyncio

import pytest

from qmp_exporter.qmp import entry as module
from qmp_exporter.qmp.entry import Entry


async def turns(number: int = 3) -> None:
    """Let the loop turn a few times."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_only_so_many_are_in_and_the_first_to_come_is_the_next() -> None:
    """Whoever waits has the place of who leaves, in the order in which they came."""
    entry, order = Entry(2), list[int]()

    async def one(number: int) -> None:
        leave = await entry.enter()
        order.append(number)
        await gates[number].wait()
        leave()
        leave()  # once is enough, and twice gives back no more

    gates = [asyncio.Event() for _ in range(5)]
    tasks = [asyncio.create_task(one(number)) for number in range(5)]
    await turns()
    assert order == [0, 1]
    gates[1].set()
    await turns()
    assert order == [0, 1, 2]
    for gate in gates:
        gate.set()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]
    assert entry._free == 2


async def test_who_stays_too_long_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The place is another one's then, and is given back only once."""
    monkeypatch.setattr(module, "LONGEST", 0.01)
    entry = Entry(1)
    late = await entry.enter()
    leave = await asyncio.wait_for(entry.enter(), 10)
    late()
    assert entry._free == 0
    leave()
    assert entry._free == 1


@pytest.mark.parametrize("granted", [False, True])
async def test_who_is_cancelled_takes_no_place_along(*, granted: bool) -> None:
    """Neither while it waits nor when the place was just given to it."""
    entry = Entry(1)
    leave = await entry.enter()
    waiting = [asyncio.create_task(entry.enter()) for _ in range(2)]
    await turns()
    if granted:
        leave()
    waiting[0].cancel()
    if not granted:
        leave()
    again = await asyncio.wait_for(waiting[1], 10)
    again()
    await asyncio.wait(waiting)
    assert waiting[0].cancelled()
    assert entry._free == 1
