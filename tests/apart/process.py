"""Programs of a test in processes of their own, so that what one of them costs can be told.

A question is a line of JSON on a program's standard input, the name of a function and its
arguments; the answer is a line on its standard output. A program ends when its input does, which
is at the latest when the test does.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path


LONGEST = 64 * 1024 * 1024
"""Bytes of a question or an answer at most."""

PATIENCE = 30.0
"""Seconds that a program may take to end."""


class Process:
    """A program that was started.

    Attributes:
        log: what it wrote to its standard error.
        child: the process.
    """

    def __init__(self, child: asyncio.subprocess.Process, log: Path) -> None:
        self.child = child
        self.log = log

    async def ask(self, function: str, /, **arguments: object) -> Any:
        """Let it call a function of its own, and return what that returned."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(json.dumps((function, arguments)).encode() + b"\n")
        line = await self.child.stdout.readline()
        assert line, f"{function}: no answer; its log ends: {self.log.read_text()[-2000:]}"
        return json.loads(line)


@asynccontextmanager
async def apart(module: str, log: Path, *arguments: str) -> AsyncIterator[Process]:
    """Run a module of the tests as a program of its own.

    Args:
        module: its name; it calls `answer`.
        log: where its standard error goes.
        arguments: of the program.
    """
    with log.open("wb") as stderr:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            limit=LONGEST,
        )
    try:
        yield Process(child, log)
        assert child.stdin is not None
        child.stdin.close()
        async with asyncio.timeout(PATIENCE):
            await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def answer(**functions: Callable[..., Awaitable[object]]) -> None:
    """Call the functions that are asked for, one after the other, until the input ends."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    reader = asyncio.StreamReader(limit=LONGEST)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        while line := await reader.readline():
            function, arguments = json.loads(line)
            print(json.dumps(await functions[function](**arguments)), flush=True)  # noqa: T201
    finally:
        transport.close()
