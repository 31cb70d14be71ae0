"""Shows that every panel has data, and that every alert fires: scripts/dashboards-e2e.

It starts real QEMUs, the exporter, Prometheus and Alertmanager, lets everything happen that there
is a panel or an alert for, and prints a table; no row of it may be empty. With ``--images`` it
draws what the panels show, into docs/images.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from apart.program import Program, program
from boards.draw import page, picture
from boards.host import Host
from boards.stack import INTERVAL, Alerts, alertmanager, prometheus
from dashboards.alerts import ALERTS
from dashboards.rules import RISING, recorded
from integration.prometheus import asked
from otlp import Receiver


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import aiohttp


ROOT: Final = Path(__file__).parents[2]
BOARDS: Final = ROOT / "dashboards" / "grafana"
IMAGES: Final = ROOT / "docs" / "images"
LAST: Final = ("QmpExporterDown", "QmpExporterAbsent")
"""Alerts of an exporter that has gone; so they come when all else was seen."""

PATIENCE: Final = 150.0
WIDEST: Final = 90


@dataclass(frozen=True)
class Row:
    """What came of one expression.

    Attributes:
        where: the panel, alert or rule.
        expr: PromQL, as it was asked.
        samples: how many came.
        result: what it says.
    """

    where: str
    expr: str
    samples: int
    result: str

    def __str__(self) -> str:
        expr = " ".join(self.expr.split())
        shown = expr if len(expr) <= WIDEST else f"{expr[: WIDEST - 3]}..."
        return f"{self.where:<58} {shown:<{WIDEST}} {self.samples:>7}  {self.result}"


@dataclass(frozen=True)
class Asked:
    """A query of a dashboard.

    Attributes:
        board: the dashboard, by its file.
        panel: of it, or what else it belongs to.
        number: of the panel.
        expr: PromQL with variables of Grafana.
        instant: whether it is of one moment.
    """

    board: str
    panel: str
    number: int
    expr: str
    instant: bool


def queries() -> Iterator[Asked]:
    """Yield the queries of all dashboards."""
    for path in sorted(BOARDS.glob("*.json")):
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                instant = target.get("instant", False)
                yield Asked(path.stem, panel["title"], panel["id"], target["expr"], instant)
        for note in board["annotations"]["list"]:
            yield Asked(path.stem, f"annotation {note['name']}", 0, note["expr"], instant=False)


def filled(expr: str, seconds: float) -> str:
    """Return an expression as Grafana would ask it, everything chosen."""
    values = {
        "__rate_interval": f"{4 * INTERVAL}s",
        "__range": f"{seconds:.0f}s",
        **dict.fromkeys(("job", "instance", "vm"), ".+"),
    }
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], expr)


async def look(client: aiohttp.ClientSession, one: Asked, began: float) -> tuple[Row, Any]:
    """Ask a query of a dashboard; return what came of it, and the data."""
    now = time()
    expr = filled(one.expr, now - began)
    if one.instant:
        data = await asked(client, "query", query=expr)
        samples = len(data["result"]) if data else 0
    else:
        span = {"start": f"{began:.3f}", "end": f"{now:.3f}", "step": f"{INTERVAL}"}
        data = await asked(client, "query_range", query=expr, **span)
        samples = sum(len(series["values"]) for series in data["result"]) if data else 0
    row = Row(f"{one.board}: {one.panel}", expr, samples, "ok" if samples else "EMPTY")
    return row, data


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
        yield good, bad


async def all_watched(exporter: Program, host: Host) -> None:
    """Wait until the exporter watches every machine but the one that is taken."""
    paths = host.directory.glob("*.qmp")
    names = {path.stem for path in paths if path.is_socket()} - {"taken01", "people"}
    await exporter.reads(
        lambda page: names <= {vm for vm in page.vms() if page.target(vm) == "connected"}
    )


async def run(directory: Path) -> tuple[list[Row], dict[str, Any]]:
    """Let everything happen; return what came of it, and the data of the panels."""
    place = directory / "host"
    place.mkdir()
    host, rows, shown = Host(place), [], {}
    try:
        host.start()
        await machines_started(host)
        async with (
            exporters(directory, host) as (good, bad),
            alertmanager(directory) as (alerts, port),
            prometheus(
                directory, [one.url.removeprefix("http://") for one in (good, bad)], port
            ) as client,
        ):
            await all_watched(good, host)
            began = time()
            while not await asked_for(  # noqa: ASYNC110 - it does not tell
                client, f"count_over_time(qemu_up[9s]) > {9 // INTERVAL - 3}"
            ):
                await asyncio.sleep(0.2)  # it begins to scrape five seconds after its start
            host.began.set()
            early = {alert.name for alert in ALERTS} - set(LAST)
            say(f"waiting for {len(early)} alerts")
            if missed := await alerts.until(early, PATIENCE):
                say(f"did not fire: {', '.join(sorted(missed))}")
            host.check()
            for one in queries():
                row, data = await look(client, one, began)
                rows.append(row)
                shown.setdefault(one.board, {}).setdefault(str(one.number), []).append(data)
            for counter in RISING:
                one = Asked("rules", recorded(counter), 0, recorded(counter), instant=False)
                rows.append((await look(client, one, began))[0])
            shown["range"] = [began, time()]
            for gone, name in zip((bad, good), LAST, strict=True):
                gone.child.kill()
                await alerts.until({name}, PATIENCE)
            rows += [fired(alert.name, alert.expr, alerts) for alert in ALERTS]
    finally:
        await host.close()
    return rows, shown


async def asked_for(client: aiohttp.ClientSession, expr: str) -> list[Any]:
    """Return what an expression returns now."""
    data = await asked(client, "query", query=expr)
    return data["result"] if data else []


def say(what: str) -> None:
    """Tell how far it is."""
    print(what, file=sys.stderr, flush=True)


async def machines_started(host: Host) -> None:
    """Wait until all monitors are there."""
    seen = -1
    while seen != len(host.machines) or not seen:
        seen = len(host.machines)
        host.check()
        await asyncio.sleep(1)


def fired(name: str, expr: str, alerts: Alerts) -> Row:
    """Return what came of an alert."""
    told = alerts.firing.get(name)
    result = told["annotations"]["summary"] if told else "DID NOT FIRE"
    return Row(f"alert: {name}", expr, int(told is not None), result)


def main() -> int:
    """Run, and print what came of it."""
    began = time()
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="boards-") as folder:
        rows, shown = asyncio.run(run(Path(folder)))
    print(f"{'panel or alert':<58} {'expression':<{WIDEST}} {'samples':>7}  result")
    for row in rows:
        print(row)
    empty = [row for row in rows if not row.samples]
    told = f"{len(rows)} rows, {len(empty)} empty; {time() - began:.0f} s"
    print(told)
    if "--images" in sys.argv:
        span = tuple(shown.pop("range"))
        pages = {
            name: page(json.loads((BOARDS / f"{name}.json").read_text()), answers, span)
            for name, answers in shown.items()
        }
        asyncio.run(picture(pages, IMAGES))
    return int(bool(empty))


if __name__ == "__main__":
    os.environ.setdefault("CI", "true")  # what is missing is a failure
    sys.exit(main())
