"""Ingest and rendering, side by side in one run, as ratios with their spread.

Events come from another process over a unix socket, so that nothing of their making counts. Seconds
on a shared machine say little: read the ratios.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import platform
import socket
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, generate_latest
from qemu.qmp import EventListener, QMPClient

from qmp_exporter.app import App
from qmp_exporter.catalog.states import TargetState
from qmp_exporter.config.settings import Settings
from qmp_exporter.model.inputs import Identity, Link, Reply
from qmp_exporter.model.replies import BlockDevice, BlockDevices, Status
from qmp_exporter.model.target import Target
from qmp_exporter.qmp.client import Client
from qmp_exporter.qmp.session import Observer, Session
from qmp_exporter.qmp.transport import Dialling


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from qmp_exporter.model.inputs import Ask, Input

EVENTS: Final = 100_000
VMS: Final = 1_000
ROUNDS: Final = 5
CHANGED: Final = 20  # VMs between two renderings: 2 %

GREETING: Final = (
    b'{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""},'
    b' "capabilities": []}}\r\n'
)
LINE: Final = (
    b'{"timestamp": {"seconds": %d, "microseconds": 41710}, "event": "BLOCK_IO_ERROR", "data":'
    b' {"device": "", "nospace": false, "node-name": "node0", "qom-path":'
    b' "/machine/peripheral/disk0", "reason": "Input/output error", "operation": "read", "action":'
    b' "report"}}\r\n'
)


def blast(path: str, ready: multiprocessing.synchronize.Event) -> None:
    """Be a monitor which sends ``EVENTS`` events once, as fast as they are taken."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        ready.set()
        client, _ = listener.accept()
        with client:
            client.sendall(GREETING)
            client.recv(4096)
            client.sendall(b'{"return": {}}\r\n')
            client.sendall((LINE % int(time.time())) * EVENTS)
            client.settimeout(60)
            while client.recv(4096):
                pass


def ingest(take: Callable[[str], Awaitable[float]]) -> float:
    """Return the seconds that ``take`` needs for all events of a monitor."""
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory, "qmp"))
        ready = multiprocessing.Event()
        process = multiprocessing.Process(target=blast, args=(path, ready))
        process.start()
        ready.wait()
        try:
            return asyncio.run(take(path))  # type: ignore[arg-type]
        finally:
            process.kill()
            process.join()


async def stock(path: str) -> float:
    """Iterate over the events of qemu.qmp as its documentation shows, and count them."""
    client = QMPClient()
    client.events.event_filter = lambda _: False
    listener = EventListener()
    client.register_listener(listener)
    counter = Counter("block_io_errors", "", ["vm", "event"], registry=CollectorRegistry())
    await client.connect(path)
    began, seen = time.perf_counter(), 0
    async for event in listener:
        counter.labels("vm", event["event"]).inc()
        seen += 1
        if seen == EVENTS:
            break
    took = time.perf_counter() - began
    await client.disconnect()
    return took


async def floor(path: str) -> float:
    """Read and split, and decode nothing."""
    reader, writer = await asyncio.open_unix_connection(path)
    await reader.readline()
    writer.write(b'{"execute": "qmp_capabilities"}')
    await reader.readline()
    began, seen = time.perf_counter(), 0
    while seen < EVENTS:
        seen += len((await reader.read(262144)).split(b"\n")) - 1
    took = time.perf_counter() - began
    writer.close()
    return took


class Feeding(Observer):
    """Feeds an application as its own sessions do."""

    def __init__(self, app: App, address: str) -> None:
        self._app, self._address = app, address

    def feed(self, given: Input) -> tuple[Ask, ...]:
        """Take an input."""
        return self._app.pipeline.feed(self._address, given)


async def ours(path: str) -> float:
    """Take the events through the whole pipeline, and check that none is lost."""
    target = Target(path)
    app = App(Settings(targets=(target,)))
    app.pipeline.add(target)
    context = app._context(app.settings)  # noqa: SLF001 - the session without its handshake
    session = Session(target, Feeding(app, path), Dialling(target, context), context)
    app.pipeline.feed(
        path, Link(TargetState.CONNECTED, time.time(), 0.0, identity=Identity(name="vm"))
    )
    done = asyncio.Event()
    seen = 0

    def on_event(line: bytes) -> None:
        nonlocal seen
        session._on_event(line)  # noqa: SLF001
        seen += 1
        if seen == EVENTS:
            done.set()

    client = Client(on_event, lambda *_: None)
    await client.connect(path)
    began = time.perf_counter()
    await done.wait()
    took = time.perf_counter() - began
    await client.disconnect()
    if app.metrics.value("vm", "qemu_block_io_errors_total") != EVENTS:
        raise SystemExit("events were lost")
    return took


def fleet() -> App:
    """Return an application with ``VMS`` connected VMs of one disk."""
    app = App(Settings(process_metrics=False))
    for number in range(VMS):
        address = f"/run/{number}.qmp"
        app.pipeline.add(Target(address))
        for given in (
            Link(TargetState.CONNECTED, 0.0, 0.0, identity=Identity(name=f"vm{number}", pid=1)),
            Reply("query-status", Status("running"), 0.0, 0.0),
            Reply("query-block", BlockDevices((BlockDevice(qdev="disk0"),)), 0.0, 0.0),
        ):
            app.pipeline.feed(address, given)
    return app


def render_ours(app: App) -> float:
    """Return the seconds of one rendering after 2 % of the VMs changed."""
    line = LINE % int(time.time())
    for number in range(CHANGED):
        address = f"/run/{number * VMS // CHANGED}.qmp"
        app.pipeline.feed(address, app._decode(line, time.time(), 0.0))  # noqa: SLF001
    began = time.perf_counter()
    app.render(None, frozenset())
    return time.perf_counter() - began


def render_library(app: App) -> Callable[[], float]:
    """Return a rendering of the same samples by prometheus-client."""
    from prometheus_client.parser import (  # noqa: PLC0415 - only here
        text_string_to_metric_families,
    )

    text = app.render(None, frozenset())[0].decode()
    families = list(text_string_to_metric_families(text))

    class Same:
        def collect(self) -> list[object]:
            return families

    registry = CollectorRegistry()
    registry.register(Same())  # type: ignore[arg-type]

    def render() -> float:
        began = time.perf_counter()
        generate_latest(registry)
        return time.perf_counter() - began

    return render


def show(title: str, unit: str, amount: int, rows: dict[str, list[float]], base: str) -> None:
    """Print a table: the median of each row, and by how much it is faster than ``base``."""
    print(f"\n## {title}\n\n| what | {unit} | times {base} | spread |\n| --- | --- | --- | --- |")
    for name, seconds in rows.items():
        ratios = [b / s for b, s in zip(rows[base], seconds, strict=True)]
        speed = amount / statistics.median(seconds)
        print(
            f"| {name} | {speed:,.0f} | {statistics.median(ratios):.1f} |"
            f" {min(ratios):.1f} to {max(ratios):.1f} |"
        )


def main() -> int:
    """Run everything and print Markdown."""
    print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, qemu.qmp"
        f" {version('qemu.qmp')}, prometheus-client {version('prometheus-client')};"
        f" {ROUNDS} rounds, side by side."
    )
    runs = {"qemu.qmp, prometheus-client": stock, "qmp-exporter": ours, "read and split": floor}
    rows: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, take in runs.items():
            rows[name].append(ingest(take))
    title = f"Ingest: {EVENTS:,} BLOCK_IO_ERROR of one VM"
    show(title, "events/s", EVENTS, rows, "qemu.qmp, prometheus-client")

    app = fleet()
    library = render_library(app)
    rows = {"generate_latest": [], "qmp-exporter": []}
    for _ in range(ROUNDS):
        rows["generate_latest"].append(library())
        rows["qmp-exporter"].append(render_ours(app))
    samples = app.render(None, frozenset())[0].count(b'{vm="')
    title = f"Rendering: {VMS:,} VMs, {samples:,} samples, {CHANGED} VMs changed"
    show(title, "pages/s", 1, rows, "generate_latest")
    return 0


if __name__ == "__main__":
    sys.exit(main())
