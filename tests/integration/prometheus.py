"""A real Prometheus, and what it says."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from support import require_tool


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

PATIENCE = 15.0


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def start(
    directory: Path, scrape_configs: str, port: int, features: str = ""
) -> subprocess.Popen[bytes]:
    """A Prometheus that scrapes five times a second."""
    config = directory / "prometheus.yml"
    often = "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
    config.write_text(often + scrape_configs)
    command = [
        os.environ.get("PROMETHEUS") or require_tool("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
        *((f"--enable-feature={features}",) if features else ()),
    ]
    with (directory / "log").open("w") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


@asynccontextmanager
async def prometheus(
    directory: Path, target: str, scrape_configs: str = "", *, features: str = ""
) -> AsyncIterator[aiohttp.ClientSession]:
    """Run a Prometheus; yield a client of it.

    Args:
        directory: of its files.
        target: which it scrapes.
        scrape_configs: how, if that is more than where.
        features: to be switched on, such as `exemplar-storage`.
    """
    port = free_port()
    plain = {"job_name": "qmp-exporter", "static_configs": [{"targets": [target]}]}
    scrape_configs = scrape_configs or json.dumps({"scrape_configs": [plain]})[1:-1] + "\n"
    process = start(directory, scrape_configs, port, features)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        process.kill()
        process.wait()


async def asked(client: aiohttp.ClientSession, path: str, **params: str) -> Any:
    """The data of an answer of the API; none while it does not answer."""
    try:
        async with client.get(f"/api/v1/{path}", params=params) as response:
            return (await response.json())["data"] if response.status == 200 else None
    except aiohttp.ClientConnectionError:
        return None


async def until(
    client: aiohttp.ClientSession, reached: Callable[[Any], bool], path: str, **params: str
) -> Any:
    """Ask until the answer says something, and return it."""
    found = None
    try:
        async with asyncio.timeout(PATIENCE):
            while not (found and reached(found)):
                await asyncio.sleep(0.05)
                found = await asked(client, path, **params)
    except TimeoutError:
        raise AssertionError(f"waited {PATIENCE} s for {params or path}: {found}") from None
    return found


async def exemplars(
    client: aiohttp.ClientSession, series: str, least: int = 1
) -> list[tuple[dict[str, str], float, float]]:
    """The exemplars of a series, or of several, as soon as there are so many.

    Returns:
        Labels, value and Unix seconds of each, as old ones as Prometheus still has.
    """
    data = await until(
        client, lambda found: len(_exemplars(found)) >= least, "query_exemplars", query=series
    )
    return _exemplars(data)


def _exemplars(data: Any) -> list[tuple[dict[str, str], float, float]]:
    return [
        (found["labels"], float(found["value"]), found["timestamp"])
        for one in data
        for found in one["exemplars"]
    ]


def values(data: Any) -> list[float]:
    """The values of an instant query."""
    return [float(one["value"][1]) for one in data["result"]]
