"""Clients that open connections and ask for nothing, in a process of their own."""

from __future__ import annotations

import asyncio
import select
import socket


opened: list[socket.socket] = []


async def connect(host: str, port: int, number: int, begin: str) -> int:
    """Open so many connections, send the same on each, and return how many there are now."""

    def one() -> None:
        sock = socket.create_connection((host, port), timeout=30)
        opened.append(sock)
        try:
            sock.sendall(begin.encode())
        except OSError:  # hung up on already
            return

    def some() -> None:
        for _ in range(number):
            one()

    await asyncio.to_thread(some)
    return len(opened)


async def alive() -> int:
    """Return how many of them the server has not hung up on."""
    poll = select.poll()
    for sock in opened:
        poll.register(sock, select.POLLIN)
    return len(opened) - len(poll.poll(0))


if __name__ == "__main__":
    from apart.process import answer

    asyncio.run(answer(connect=connect, alive=alive))
