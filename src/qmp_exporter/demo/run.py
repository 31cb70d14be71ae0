"""``qmp-exporter demo``: the exporter over VMs to which things happen."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from qmp_exporter.app import App
from qmp_exporter.demo.captures import Recording
from qmp_exporter.demo.command import find_qemu
from qmp_exporter.demo.replay import replay
from qmp_exporter.demo.story import NAMES, tell
from qmp_exporter.errors import ConfigError
from qmp_exporter.model.target import Target


if TYPE_CHECKING:
    from qmp_exporter.config.settings import Settings


def say(line: str) -> None:
    """Tell the user."""
    print(line, flush=True)  # noqa: T201


async def demo(settings: Settings, *, replayed: bool) -> None:
    """Run the exporter over two real VMs, or over recorded events, until cancelled.

    Raises:
        ConfigError: there is no QEMU.
        ListenError: the address is taken.
    """
    if not replayed and find_qemu() is None:
        raise ConfigError(
            "no qemu-system-x86_64 here; install the package qemu-system-x86, or take"
            " `qmp-exporter demo --replay`, which plays recorded events"
        )
    with tempfile.TemporaryDirectory(prefix="qmp-exporter-") as name:
        directory = Path(name)
        names = ("recorded",) if replayed else NAMES
        targets = tuple(Target(str(directory / f"{vm}.qmp")) for vm in names)
        app = App(msgspec.structs.replace(settings, targets=(*settings.targets, *targets)))
        async with asyncio.TaskGroup() as tasks:
            ready = asyncio.Event()
            exporter = tasks.create_task(app.run(ready.set))
            await asyncio.wait(
                [exporter, waiting := tasks.create_task(ready.wait())],
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not ready.is_set():
                waiting.cancel()
                return
            _welcome(app, replayed=replayed)
            if replayed:
                await replay(
                    Recording.shipped(),
                    directory / "recorded.qmp",
                    name="recorded",
                    loop=True,
                    max_gap=1.0,
                    say=say,
                )
            else:
                await tell(say, directory)


def _welcome(app: App, *, replayed: bool) -> None:
    what = "events recorded from a real QEMU 11.1" if replayed else "two real VMs"
    say(f"qmp-exporter watches {what}:")
    for url in app.server.bound:
        say(f"    {url}    and its metrics at {url.rstrip('/')}{app.settings.telemetry_path}")
    say("Ctrl-C ends it all.")
