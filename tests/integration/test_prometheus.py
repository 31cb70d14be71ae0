"""A real Prometheus scrapes the exporter."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from fake_qmp import FakeMonitor
from integration.exporter import exporting
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


def start(directory: Path, target: str, port: int) -> subprocess.Popen[bytes]:
    """A Prometheus that scrapes a target five times a second."""
    scrape = {
        "job_name": "qmp-exporter",
        "scrape_interval": "200ms",
        "scrape_timeout": "200ms",
        "static_configs": [{"targets": [target]}],
    }
    config = directory / "prometheus.yml"
    config.write_text(json.dumps({"scrape_configs": [scrape]}))
    command = [
        require_tool("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (directory / "log").open("w") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


@asynccontextmanager
async def prometheus(directory: Path, target: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Run a Prometheus; yield a client of it."""
    port = free_port()
    process = start(directory, target, port)
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


def values(data: Any) -> list[float]:
    """The values of an instant query."""
    return [float(one["value"][1]) for one in data["result"]]


async def test_prometheus_scrapes_it_and_sees_counters_rise(tmp_path: Path) -> None:
    """The target is up, the VM is up, and the first event of a kind makes an increase."""
    vm = '{vm="web01"}'
    increase = 'increase(qemu_guest_panics_total{vm="web01",action="pause",kind="unknown"}[1m])'
    async with FakeMonitor(tmp_path / "vm.sock", name="web01") as monitor, exporting(monitor) as it:
        address = it.app.server.bound[0].removeprefix("http://")
        async with prometheus(tmp_path, address) as client:
            await until(client, lambda found: values(found) == [1.0], "query", query=f"qemu_up{vm}")
            targets = await asked(client, "targets")
            (target,) = targets["activeTargets"]
            assert (target["health"], target["lastError"]) == ("up", "")
            await until(client, lambda found: values(found) == [0.0], "query", query=increase)
            await monitor.send_event("GUEST_PANICKED", {"action": "pause"})
            await until(client, lambda found: values(found)[0] > 0, "query", query=increase)
            metadata = await asked(client, "metadata")
            assert metadata["qemu_up"][0]["type"] == "gauge"
            # By the name of the family, which in OpenMetrics has no `_total`.
            events = metadata.get("qemu_events") or metadata["qemu_events_total"]
            assert events[0]["type"] == "counter"
            counted = await asked(client, "query", query='{__name__=~"qemu_.+"}')
            assert len(counted["result"]) > 100
