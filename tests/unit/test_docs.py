"""The generated pages."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from outline import parse, written
from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.catalog.metrics import ALL_VM_METRICS, FLEET_METRICS
from qmp_exporter.catalog.operations import ATTRIBUTES, OPERATIONS, TOLD
from qmp_exporter.catalog.own_metrics import OWN_METRICS
from qmp_exporter.config.otel import read_otel


ROOT = Path(__file__).parents[2]


def test_the_generated_pages_say_what_the_catalog_says() -> None:
    """scripts/docs would write docs/ just as it is committed."""
    found = subprocess.run(
        [sys.executable, "docs/build.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")


def test_every_metric_and_event_is_in_the_reference() -> None:
    """No metric and no event is left out of the pages."""
    metrics = (ROOT / "docs/metrics.md").read_text()
    names = [m.name for m in (*ALL_VM_METRICS, *OWN_METRICS)] + list(FLEET_METRICS)
    assert [name for name in names if f"`{name}`" not in metrics] == []
    events = (ROOT / "docs/events.md").read_text()
    assert [spec.name for spec in EVENTS if f"## {spec.name}\n" not in events] == []


class Watched(dict[str, str]):
    """An environment that keeps what it is asked for."""

    asked: set[str]

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        """The text of a variable."""
        self.asked.add(name)
        return super().get(name, default)


def test_the_variables_of_opentelemetry_are_in_the_table_and_no_others() -> None:
    """Each that is read, and only those."""
    environment = Watched(
        OTEL_TRACES_EXPORTER="otlp",
        OTEL_LOGS_EXPORTER="otlp",
        OTEL_METRICS_EXPORTER="otlp",
        OTEL_TRACES_SAMPLER="traceidratio",
        OTEL_EXPORTER_OTLP_LOGS_PROTOCOL="grpc",
    )
    environment.asked = set()
    assert read_otel(environment)
    text = (ROOT / "docs/opentelemetry.md").read_text()
    told = set(re.findall(r"`(OTEL_[A-Z_]+)`(?=<br>| \|)", text))
    signals = ("TRACES", "LOGS", "METRICS")
    asked = {
        re.sub(f"OTLP_({'|'.join(signals)})_(?!TEMPORALITY)", "OTLP_SIGNAL_", name)
        for name in environment.asked
    }
    assert told == asked | {"OTEL_EXPORTER_OTLP_SIGNAL_ENDPOINT"}


def test_every_span_and_attribute_is_in_the_reference() -> None:
    """None is left out, and none is explained that nothing tells."""
    spans = (ROOT / "docs/spans.md").read_text()
    assert [one.name for one in OPERATIONS if f"## {one.name}\n" not in spans] == []
    assert [name for name in ATTRIBUTES if f"`{name}`" not in spans] == []
    tells = [*TOLD.values(), *(spec.tells for spec in EVENTS if spec.tells is not None)]
    assert {name for one in tells for name in one.members} <= ATTRIBUTES.keys()


def _names(heading: str) -> list[str]:
    """Return the names of spans and events that a section of docs/tracing.md is sure to show."""
    blocks = written(ROOT / "docs/tracing.md", heading)
    lines = [line for block in blocks for line in parse(block) if not line.remark]
    heads = (line.head.removeprefix("* ").partition(":")[0] for line in lines)
    return [head for head in heads if head and "->" not in head]


@pytest.mark.parametrize("suffix", ["", "-dark"])
@pytest.mark.parametrize(
    ("name", "heading"),
    [
        ("trace-io-error", "An I/O-error stop"),
        ("trace-migration", "A migration"),
        ("trace-watchdog", "A watchdog reset"),
    ],
)
def test_the_pictures_of_traces_show_what_the_page_tells(
    name: str, heading: str, suffix: str
) -> None:
    """All spans and events in their order; each picture is in the page."""
    assert f"images/{name}{suffix}.svg" in (ROOT / "docs/tracing.md").read_text()
    drawing = (ROOT / f"docs/images/{name}{suffix}.svg").read_text()
    shown = iter(re.findall(r"<text [^>]*>([^<]*)</text>", drawing))
    missing = [one for one in _names(heading) if one not in shown]  # it goes on where it was
    assert missing == []
