"""Two exporters and a Prometheus before a host to which everything is about to happen."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from apart.program import Program, program
from boards.host import Host
from boards.stack import INTERVAL, prometheus
from integration.prometheus import asked
from otlp import Receiver


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp


@dataclass(frozen=True)
class Stage:
    """What there is.

    Attributes:
        host: with its machines.
        good: the exporter that watches them.
        bad: one that has nothing but trouble.
        client: of Prometheus.
        began: Unix seconds.
    """

    host: Host
    good: Program
    bad: Program
    client: aiohttp.ClientSession
    began: float


@asynccontextmanager
async def stage(directory: Path, alertmanager_port: int | None = None) -> AsyncIterator[Stage]:
    """Run everything; faults happen when ``host.began`` is set.

    Args:
        directory: of all files; its path is to be short.
        alertmanager_port: where Prometheus sends alerts.
    """
    place = directory / "host"
    place.mkdir()
    host = Host(place)
    try:
        await host.start()
        async with exporters(directory, host) as (good, bad):
            targets = [one.url.removeprefix("http://") for one in (good, bad)]
            async with prometheus(directory, targets, alertmanager_port) as client:
                await all_watched(good, host)
                began = time()
                while not await scraped(client):  # noqa: ASYNC110 - it does not tell
                    await asyncio.sleep(0.2)  # it begins five seconds after its start
                yield Stage(host, good, bad, client, began)
    finally:
        await host.close()


@asynccontextmanager
async def exporters(directory: Path, host: Host) -> AsyncIterator[tuple[Program, Program]]:
    """Run the exporter of a host, and one that has nothing but trouble.

    Its collector is dead, its limit is reached at once, its configuration is wrong when it is read
    again, and clients that are none come to it.
    """
    often = {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_METRIC_EXPORT_INTERVAL": "1000"}
    nowhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    config, listener = directory / "trouble.yml", directory / "in.sock"
    watched = f"{{socket: ['{host.directory}/many01.second'], listen: ['{listener}']}}"
    content = f"qmp: {watched}\nlimits: {{label_sets: 1}}\nvm: {{grace: %s}}\n"
    config.write_text(content % "5m")
    async with (
        Receiver() as receiver,
        program(
            directory / "exporter.log",
            *("--qmp.socket", f"{host.directory}/*.qmp"),
            env=receiver.environment() | often,
        ) as good,
        program(
            directory / "trouble.log",
            *("--config.file", str(config)),
            env=nowhere | often | {"OTEL_EXPORTER_OTLP_TIMEOUT": "500"},
        ) as bad,
    ):
        config.write_text(content % "soon")
        bad.child.send_signal(signal.SIGHUP)
        address = urlsplit(bad.url)
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(b"GET / HTTP/9.9\r\n\r\n")
        _, other = await asyncio.open_unix_connection(listener)
        other.write(b"I am no QEMU\r\n")
        await bad.reads(lambda page: page.sums("qmp_exporter_http_rejected_total"))
        await bad.reads(lambda page: page.sums("qmp_exporter_listen_rejected_total"))
        writer.close()
        other.close()
        yield good, bad


async def all_watched(exporter: Program, host: Host) -> None:
    """Wait until the exporter watches every machine but the one that is taken."""
    paths = host.directory.glob("*.qmp")
    names = {path.stem for path in paths if path.is_socket()} - {"taken01", "people"}
    await exporter.reads(
        lambda page: names <= {vm for vm in page.vms() if page.target(vm) == "connected"}
    )


async def scraped(client: aiohttp.ClientSession) -> bool:
    """Tell whether there are some samples of all that is to happen."""
    expr = f"count_over_time(qemu_up[9s]) > {9 // INTERVAL - 3}"
    data = await asked(client, "query", query=expr)
    return bool(data and data["result"])
