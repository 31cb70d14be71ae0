"""The exporter as people run it: ``python -m qmp_exporter``."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from apart.exporter import hold_to_no_traceback
from e2e.page import Page


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path


PATIENCE = 30.0
"""Seconds in which it has to be there, and to end."""


class Program:
    """A run of it.

    Attributes:
        child: the process.
        url: where it serves.
    """

    def __init__(self, child: asyncio.subprocess.Process, url: str) -> None:
        self.child = child
        self.url = url

    async def page(self, *names: str) -> Page:
        """Scrape, everything or these metrics."""
        params = [("name[]", name) for name in names]
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with (
            aiohttp.ClientSession(raise_for_status=True, timeout=timeout) as client,
            client.get(f"{self.url}/metrics", params=params) as response,
        ):
            return Page(await response.text())

    async def reads(
        self, what: Callable[[Page], object], patience: float = PATIENCE, every: float = 0.02
    ) -> Page:
        """Scrape until something is true of the page, and return it."""
        page = await self.page()
        try:
            async with asyncio.timeout(patience):
                while not what(page):
                    await asyncio.sleep(every)
                    page = await self.page()
        except TimeoutError:
            shown = {k: v for k, v in page.samples.items() if v}
            raise AssertionError(f"not within {patience} s; the page reads {shown}") from None
        return page


def served_at(log: Path) -> str:
    """Return the URL that a log tells, empty if it does not yet."""
    found = re.search(r"listens on (http://[0-9.:]+)", log.read_text())
    return found[1] if found else ""


@asynccontextmanager
async def program(
    log: Path, *arguments: str, env: Mapping[str, str] | None = None, by: Sequence[str] = ()
) -> AsyncIterator[Program]:
    """Run it; fail if it writes a traceback.

    Args:
        log: where its log goes.
        arguments: of its own.
        env: variables besides ours.
        by: the command that starts it, if it is to be started by another.
    """
    with log.open("wb") as stderr:
        child = await asyncio.create_subprocess_exec(
            *(*by, sys.executable, "-m", "qmp_exporter", "--web.listen-address", "127.0.0.1:0"),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=stderr,
            env={**os.environ, **(env or {})},
        )
    try:
        async with asyncio.timeout(PATIENCE):
            while not (url := served_at(log)):
                assert child.returncode is None, child.returncode
                await asyncio.sleep(0.01)
        yield Program(child, url)
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
    hold_to_no_traceback(log)
