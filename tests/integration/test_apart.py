"""A server in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from qmp_exporter.errors import ListenError
from qmp_exporter.web import Apart, Server, parse_address
from unit.qmp.watching import PATIENCE, nothing_left


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def apart(handler: Callable[[web.Request], Awaitable[web.Response]], address: str) -> Apart:
    """A server of one handler."""
    app = web.Application()
    app.router.add_get("/", handler)
    return Apart(Server(app, [parse_address(address)]))


async def hello(_: web.Request) -> web.Response:
    """Say in which thread this is."""
    return web.Response(text=threading.current_thread().name)


async def test_it_answers_while_the_other_loop_does_not_turn() -> None:
    """Whatever the monitors send."""
    server = apart(hello, "127.0.0.1:0")
    async with nothing_left():
        await server.start()
        told: list[Any] = []

        def ask() -> None:
            async def get() -> str:
                async with aiohttp.ClientSession() as client, client.get(server.bound[0]) as reply:
                    return await reply.text()

            told.append(asyncio.run(get()))

        thread = threading.Thread(target=ask)
        thread.start()
        deadline = time.monotonic() + PATIENCE
        while not told and time.monotonic() < deadline:
            time.sleep(0.01)  # noqa: ASYNC251 - the loop stands still, which is the point
        thread.join()
        await server.stop()
        assert told == ["qmp-exporter-web"]
        assert server.bound == ()


async def test_an_address_that_is_taken_is_told_and_nothing_is_left() -> None:
    """The error crosses the threads, and the thread ends."""
    before = threading.active_count()
    async with nothing_left():
        server = apart(hello, "127.0.0.1:0")
        await server.start()
        other = apart(hello, server.bound[0].removeprefix("http://").rstrip("/"))
        with pytest.raises(ListenError):
            await other.start()
        await other.stop()
        await server.stop()
    assert threading.active_count() == before


async def test_a_request_under_way_is_finished_and_one_without_end_is_dropped() -> None:
    """As by the server itself."""
    begun = threading.Event()

    async def slow(_: web.Request) -> web.Response:
        begun.set()
        await asyncio.sleep(0.2)
        return web.Response(text="done")

    server = apart(slow, "127.0.0.1:0")
    await server.start()
    async with aiohttp.ClientSession() as client:

        async def get() -> str:
            async with client.get(server.bound[0]) as reply:
                return await reply.text()

        answer = asyncio.create_task(get())
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        await server.stop()
        assert await answer == "done"


async def test_to_stop_what_was_not_started_is_nothing() -> None:
    """Also twice."""
    server = apart(hello, "127.0.0.1:0")
    await server.stop()
    await server.start()
    await server.stop()
    await server.stop()
