"""What the OpenTelemetry Collector makes of a push: the rules by which our tests judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from otlp_data import metrics
from otlp_fleet import HOSTILE, Fleet
from otlp_names import read, translate


if TYPE_CHECKING:
    from otlp_data import Metric


DATA: Final = Path(__file__).parents[1] / "data" / "otlp"


def pushed() -> list[Metric]:
    """Return what a Collector was sent once."""
    found = json.loads((DATA / "pushed.json").read_text())
    return list(metrics(ParseDict(found, ExportMetricsServiceRequest())))


def test_the_collector_follows_the_rules() -> None:
    """Names, types, HELP, labels and numbers are those that its Prometheus exporter showed."""
    assert translate(pushed()) == read((DATA / "scraped.txt").read_text())


def test_the_collector_shows_what_we_show() -> None:
    """Each series that it showed is on our page of today, with that number.

    Only what both have is compared: it takes no Go to add a metric, or a value of a label.
    """
    ours = read(Fleet().page())
    theirs = read((DATA / "scraped.txt").read_text(), "job", "instance")
    compared = 0
    for name, family in theirs.items():
        if name in ours:
            assert family.kind == ours[name].kind
            both = family.samples.keys() & ours[name].samples.keys()
            assert {key: family.samples[key] for key in both} == {
                key: ours[name].samples[key] for key in both
            }
            compared += len(both)
    assert compared > 300


def test_what_the_collector_got_was_hard() -> None:
    """Quotes, backslashes, braces and more than ASCII, a number beyond 64 bits, each type."""
    found = translate(pushed())
    assert ("vm", HOSTILE) in {pair for _, labels in found["qemu_up"].samples for pair in labels}
    assert 2.0**63 in found["qemu_quorum_failure_sectors_total"].samples.values()
    assert {family.kind for family in found.values()} == {"counter", "gauge", "histogram"}
