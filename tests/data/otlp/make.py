"""Writes pushed.json and scraped.txt anew: what we push, and what the Collector makes of it.

    .venv/bin/python tests/data/otlp/make.py [FOLDER]

It takes Go, its module proxy and some minutes, and builds the OpenTelemetry Collector of
builder.yaml in FOLDER, or in one that is removed in the end. It fails where the Collector's page is
not our own, be it after sums or after differences.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self


HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from google.protobuf.json_format import MessageToDict  # noqa: E402 - the path comes first

from builders import blocks, drive, event, link  # noqa: E402
from integration.prometheus import free_port  # noqa: E402
from otlp_fleet import Fleet, Recorder, pushing  # noqa: E402
from otlp_names import read  # noqa: E402
from qmp_exporter.catalog.states import TargetState  # noqa: E402


if TYPE_CHECKING:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    from qmp_exporter.telemetry.otel.ledger import Preference

BUILDER: Final = "go.opentelemetry.io/collector/cmd/builder@v0.155.0"
PATIENCE: Final = 30.0
HEADER: Final = """\
# What the OpenTelemetry Collector 0.155.0 shows on the page of its Prometheus exporter after it was
# sent pushed.json. Made by make.py, with the Collector of builder.yaml, set up by collector.yaml.
"""


class Collector:
    """A Collector that runs.

    Args:
        program: of it.
    """

    def __init__(self, program: Path) -> None:
        ports = {"OTLP_PORT": free_port(), "SCRAPE_PORT": free_port()}
        self._otlp = f"http://127.0.0.1:{ports['OTLP_PORT']}/v1/metrics"
        self._scrape = f"http://127.0.0.1:{ports['SCRAPE_PORT']}/metrics"
        config = f"--config={HERE / 'collector.yaml'}"
        environment = {**os.environ, **{name: str(port) for name, port in ports.items()}}
        self._process = subprocess.Popen([program, config], env=environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def send(self, message: ExportMetricsServiceRequest) -> None:
        """Send it a request."""
        headers = {"Content-Type": "application/x-protobuf"}
        self._ask(urllib.request.Request(self._otlp, message.SerializeToString(), headers))  # noqa: S310 - ours

    def page(self) -> str:
        """Return its page."""
        return self._ask(urllib.request.Request(self._scrape)).decode()  # noqa: S310 - ours

    def _ask(self, request: urllib.request.Request) -> bytes:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(request) as answer:  # noqa: S310 - ours
                    body: bytes = answer.read()
                    return body
            except urllib.error.URLError:  # it is starting
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)


def build(folder: Path) -> Path:
    """Return the program, made anew if it is not there."""
    program = folder / "collector" / "collector"
    if not program.exists():
        command = ["go", "run", BUILDER, f"--config={HERE / 'builder.yaml'}"]
        subprocess.run(command, cwd=folder, check=True)
    return program


def compare(theirs: str, ours: str, when: str) -> None:
    """Raise an error where two pages differ in a metric, its type, its HELP, a label, a number."""
    found, expected = read(theirs, "job", "instance"), read(ours)
    found.pop("target_info")
    assert found.keys() == expected.keys(), f"{when}: {found.keys() ^ expected.keys()}"
    for name, family in expected.items():
        assert found[name][:2] == family[:2], f"{when}: {name}"
        samples = found[name].samples
        assert samples.keys() == family.samples.keys(), (
            f"{when}: {name}: {samples.keys() ^ family.samples.keys()}"
        )
        for key, number in family.samples.items():
            assert math.isclose(samples[key], number, rel_tol=1e-12), f"{when}: {key}"


def follow(program: Path, temporality: Preference) -> tuple[list[ExportMetricsServiceRequest], str]:
    """Let things happen, push, and compare; return the first push and what came of it."""
    fleet, way = Fleet(), Recorder()
    push = pushing(fleet, way, temporality)
    first: tuple[list[ExportMetricsServiceRequest], str] | None = None

    def round_(when: str) -> str:
        push.push()
        for message in way.messages:
            collector.send(message)
        page = collector.page()
        compare(page, fleet.page(), f"{temporality}, {when}")
        return page

    with Collector(program) as collector:
        page = round_("at first")
        first = list(way.messages), page
        way.messages.clear()
        fleet.watch.feed(event("POWERDOWN", at=70), "/run/web.sock")
        fleet.watch.feed(event("STOP", at=71), "/run/web.sock")
        way.failure = "as is to be tried"
        push.push()
        way.failure = ""
        fleet.watch.feed(event("POWERDOWN", at=72), "/run/web.sock")
        fleet.watch.feed(blocks(drive("disk0"), at=73), "/run/web.sock")
        round_("after a push that was lost")
        way.messages.clear()
        round_("when nothing happened")
        way.messages.clear()
        fleet.watch.feed(link(TargetState.GONE, 80), "/run/web.sock")
        fleet.watch.expire(9999)
        round_("without the machine")
    return first


def main() -> None:
    """Build a Collector, and let it show what it makes of a push."""
    with tempfile.TemporaryDirectory() as temporary:
        program = build(Path(sys.argv[1] if len(sys.argv) > 1 else temporary))
        (message,), page = follow(program, "cumulative")
        follow(program, "delta")
        follow(program, "lowmemory")
    written = json.dumps(MessageToDict(message)).replace('}, {"name": ', '},\n{"name": ')
    (HERE / "pushed.json").write_text(written + "\n")  # a metric a line
    (HERE / "scraped.txt").write_text(HEADER + page)


if __name__ == "__main__":
    main()
