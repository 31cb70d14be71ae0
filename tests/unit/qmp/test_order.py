"""Who is named first."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from qmp_exporter.qmp.order import Order


async def test_the_lesser_address_comes_first() -> None:
    """Whoever is ready first."""
    order = Order()
    for address in "bca":
        order.enter(address)
    c, b, a = (order.turn(address) for address in "cba")
    assert (a.done(), b.done(), c.done()) == (True, False, False)
    order.leave("a")
    assert (b.done(), c.done()) == (True, False)
    order.leave("b")
    assert c.done()


async def test_nobody_waits_for_who_is_not_being_met() -> None:
    """Neither for a greater address nor for one that has left, however often."""
    order = Order()
    order.enter("a")
    order.leave("a")
    order.leave("a")
    order.enter("z")
    assert order.turn("m").done()


async def test_who_gave_up_waiting_holds_up_nobody() -> None:
    """A turn that was cancelled is passed on."""
    order = Order()
    order.enter("a")
    b, c = order.turn("b"), order.turn("c")
    b.cancel()
    order.leave("a")
    assert c.done()


@given(st.lists(st.tuples(st.sampled_from(["enter", "leave", "turn"]), st.sampled_from("abcde"))))
def test_a_turn_is_due_when_no_lesser_address_is_being_met(steps: list[tuple[str, str]]) -> None:
    """After any number of steps, and nothing is kept for ever."""

    async def run() -> None:
        order = Order()
        met: set[str] = set()
        turns: list[tuple[str, asyncio.Future[None]]] = []
        for step, address in steps:
            if step == "turn":
                turns.append((address, order.turn(address)))
            elif step == "enter":
                order.enter(address)
                met.add(address)
            else:
                order.leave(address)
                met.discard(address)
                for waiting, turn in turns:
                    assert turn.done() or any(other < waiting for other in met)
        for address in "abcde":
            order.leave(address)
        order.turn("z")
        assert all(turn.done() for _, turn in turns)
        assert (order._met, order._heap, order._waiting) == (set(), [], [])

    asyncio.run(run())
