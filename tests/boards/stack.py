"""A real Prometheus with our rules, and a real Alertmanager that tells us of alerts.

Rules count in minutes and hours; here all their durations are a twentieth of that.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import yaml
from aiohttp import web

from boards.board import PROMETHEUS
from integration.prometheus import asked, free_port
from support import require_tool


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


FASTER: Final = 20
"""How many times shorter all durations of rules are here."""

INTERVAL: Final = 1
"""Seconds between two scrapes, and between two evaluations of rules."""

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"\b(\d+)([smhd])\b")
_SECONDS: Final = re.compile(r"(time\(\) - |\[\d+ms\]\) > )(300|360)\b")
"""Where rules have seconds as numbers."""


def shorter(expr: str) -> str:
    """Return an expression or a duration with all durations so many times shorter."""

    def short(found: re.Match[str]) -> str:
        return f"{int(found[1]) * _UNITS[found[2]] * 1000 // FASTER}ms"

    expr = _DURATION.sub(short, expr)
    return _SECONDS.sub(lambda found: f"{found[1]}{int(found[2]) // FASTER}", expr)


def write_rules(directory: Path) -> list[str]:
    """Write our rules and alerts, shortened; return the names of the files."""
    written = []
    for path in sorted(PROMETHEUS.glob("*.yaml")):
        content = yaml.safe_load(path.read_text())
        for group in content["groups"]:
            group["interval"] = f"{INTERVAL}s"
            for rule in group["rules"]:
                # The names of recorded series have a duration, too.
                name = r"(vm:\w+:increase5m)"
                parts = re.split(name, rule["expr"])
                rule["expr"] = "".join(
                    part if re.fullmatch(name, part) else shorter(part) for part in parts
                )
                if "for" in rule:
                    rule["for"] = shorter(rule["for"])
        (directory / path.name).write_text(yaml.safe_dump(content))
        written.append(path.name)
    return written


class Alerts:
    """What the Alertmanager told.

    Attributes:
        firing: for each alert, what it told of the first that fired.
        resolved: those that were told to be over.
    """

    def __init__(self) -> None:
        self.firing: dict[str, dict[str, Any]] = {}
        self.resolved: set[str] = set()
        self._news = asyncio.Condition()

    async def take(self, request: web.Request) -> web.Response:
        """Be told."""
        for alert in (await request.json())["alerts"]:
            name = alert["labels"]["alertname"]
            if alert["status"] == "firing":
                self.firing.setdefault(name, alert)
            else:
                self.resolved.add(name)
        async with self._news:
            self._news.notify_all()
        return web.Response()

    async def until(self, names: set[str], seconds: float) -> set[str]:
        """Wait until all of these fired, for so long at most; return those that did not."""
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(lambda: names <= self.firing.keys())
        except TimeoutError:
            pass
        return names - self.firing.keys()


@asynccontextmanager
async def alertmanager(directory: Path) -> AsyncIterator[tuple[Alerts, int]]:
    """Run an Alertmanager; yield what it tells, and its port."""
    alerts, port = Alerts(), free_port()
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/", alerts.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        told = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        config = {
            "route": {
                "receiver": "us",
                "group_by": ["..."],
                "group_wait": "0s",
                "group_interval": "1s",
            },
            "receivers": [{"name": "us", "webhook_configs": [{"url": told}]}],
        }
        path = directory / "alertmanager.yaml"
        path.write_text(json.dumps(config))
        command = [
            require_tool("prometheus-alertmanager"),
            f"--config.file={path}",
            f"--storage.path={directory / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ]
        async with _running(command, directory / "alertmanager.log"):
            yield alerts, port
    finally:
        await runner.cleanup()


@asynccontextmanager
async def prometheus(
    directory: Path, targets: list[str], alertmanager_port: int | None
) -> AsyncIterator[aiohttp.ClientSession]:
    """Run a Prometheus with our rules; yield a client of it."""
    port = free_port()
    told = [] if alertmanager_port is None else [f"127.0.0.1:{alertmanager_port}"]
    config = {
        "global": {
            "scrape_interval": f"{INTERVAL}s",
            "scrape_timeout": f"{INTERVAL}s",
            "evaluation_interval": f"{INTERVAL}s",
        },
        "rule_files": write_rules(directory),
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": told}]}]},
        "scrape_configs": [{"job_name": "qmp-exporter", "static_configs": [{"targets": targets}]}],
    }
    path = directory / "prometheus.yaml"
    path.write_text(json.dumps(config))
    command = [
        require_tool("prometheus"),
        f"--config.file={path}",
        f"--storage.tsdb.path={directory / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        "--rules.alert.resend-delay=1s",
        "--log.level=warn",
    ]
    async with (
        _running(command, directory / "prometheus.log"),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
    ):
        while await asked(client, "status/buildinfo") is None:  # noqa: ASYNC110 - it does not tell
            await asyncio.sleep(0.05)
        yield client


@asynccontextmanager
async def _running(command: list[str], log: Path) -> AsyncIterator[None]:
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.kill()
        await process.wait()
