"""Shows that every panel has data, and that every alert fires: scripts/dashboards-e2e.

It starts real QEMUs, the exporter, Prometheus and Alertmanager, lets everything happen that there
is a panel or an alert for, and prints a table; no row of it may be empty. With ``--images`` it
draws what the panels show, into docs/images.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from time import time
from typing import Any, Final

from boards.asking import WIDEST, Row, look, queries
from boards.board import boards
from boards.draw import page, picture
from boards.stack import Alerts, alertmanager
from boards.stage import stage
from dashboards.alerts import ALERTS


IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
LAST: Final = ("QmpExporterDown", "QmpExporterAbsent")
"""Alerts of an exporter that has gone; so they come when all else was seen."""

PATIENCE: Final = 150.0


async def run(directory: Path) -> tuple[list[Row], dict[str, Any]]:
    """Let everything happen; return what came of it, and the data of the panels."""
    rows, shown = [], {}
    async with alertmanager(directory) as (alerts, port), stage(directory, port) as it:
        it.host.began.set()
        early = {alert.name for alert in ALERTS} - set(LAST)
        say(f"waiting for {len(early)} alerts")
        if missed := await alerts.until(early, PATIENCE):
            say(f"did not fire: {', '.join(sorted(missed))}")
        it.host.check()
        for one in queries():
            row, data = await look(it.client, one, it.began)
            rows.append(row)
            shown.setdefault(one.board, {}).setdefault(str(one.number), []).append(data)
        shown["range"] = [it.began, time()]
        for gone, name in zip((it.bad, it.good), LAST, strict=True):
            gone.child.kill()
            await alerts.until({name}, PATIENCE)
        rows += [fired(alert.name, alert.expr, alerts) for alert in ALERTS]
    return rows, shown


def say(what: str) -> None:
    """Tell how far it is."""
    print(what, file=sys.stderr, flush=True)


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
        pages = {one.name: page(one.model, shown[one.name], span) for one in boards()}
        asyncio.run(picture(pages, IMAGES))
    return int(bool(empty))


if __name__ == "__main__":
    os.environ.setdefault("CI", "true")  # what is missing is a failure
    sys.exit(main())
