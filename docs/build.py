"""Writes the generated pages and the JSON Schema; with --check, only compares.

docs/metrics.md, docs/events.md and docs/spans.md are made from the catalog, the table of QEMUs from
what scripts/qemus kept, docs/configuration.md and schema.json from the flags, docs/recordings.md
from the list of what a recording keeps.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import configuration
import qemus
import recordings
import spans
from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.catalog.groups import GROUPS
from qmp_exporter.catalog.metrics import ALL_VM_METRICS, FLEET_METRICS
from qmp_exporter.catalog.otel import otel_name
from qmp_exporter.catalog.own_metrics import OWN_METRICS
from qmp_exporter.catalog.spec import EventSpec, Label
from qmp_exporter.catalog.states import TargetState
from qmp_exporter.config import schema
from qmp_exporter.model.apply import apply
from qmp_exporter.model.inputs import Identity, Link, Reply
from qmp_exporter.model.replies import (
    BlockDevice,
    BlockDevices,
    BlockStats,
    DiskCounts,
    DiskStats,
    Status,
)
from qmp_exporter.model.vm import VM
from qmp_exporter.sinks.metrics import MetricsSink


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


HERE: Final = Path(__file__).parent
SCHEMA: Final = Path(schema.__file__).with_suffix(".json")
GENERATED: Final = "<!-- Written by scripts/docs from the catalog; edit that instead. -->\n"
WIDEST: Final = 8  # values of a label that are listed in a table


VM_LABELS: Final = (
    "Every series of a VM has the label `vm`, besides those listed. Counters that an alert can"
    " name are there at 0 from the moment the VM connects. A value outside a label's set reads"
    " `other`. Ids are the host's: of a disk, a node, a port, a device; of each metric at most"
    " `--limits.label-sets` rows of a VM tell them apart.\n"
)
PROCESS: Final = (
    "\nThe process, platform and garbage collector metrics of prometheus-client come with them,"
    " unless `--web.disable-exporter-metrics` is given.\n"
)
GROUPED: Final = (
    "A scrape can ask for some of them: `/metrics?collect[]=state&collect[]=block` for two groups,"
    " `/metrics?exclude[]=process` for all but one, `/metrics?name[]=qemu_up` for single names, of"
    " a histogram for those of its series. Both `collect[]` and `exclude[]`, or a group that there"
    " is not, is an error, 400; other parameters are ignored.\n"
)
TRACED: Final = (
    "Where OpenTelemetry is on, counters of VMs, but those of seconds, have exemplars in"
    " OpenMetrics, which Prometheus asks for by itself: `trace_id` and `span_id` of what raised"
    " them last, by how much and when. Prometheus keeps them when it is started with"
    " `--enable-feature=exemplar-storage`, and hands them on with `send_exemplars: true` under"
    " `remote_write`. Grafana links them to traces when its Prometheus data source has"
    " `exemplarTraceIdDestinations: [{name: trace_id, datasourceUid: tempo}]` under `jsonData`,"
    " with the uid of the data source of your traces; switch Exemplars on in the query of a time"
    " series panel.\n"
)
METRICS: Final = ("metric", "in OpenTelemetry", "type", "labels", "what it says")
PUSHED: Final = (
    "Where they are pushed, metrics have the names of OpenTelemetry, and a unit, s or By, where"
    " there is one: [otlp-metrics.md](otlp-metrics.md).\n"
)
COALESCED: Final = (
    "All events are counted in `qemu_events_total`, those that are not listed here as"
    ' `event="other"`. Where QEMU coalesces an event, it sends at most one a second for each key:'
    " the first at once, the last when the second is over. Counters of such events are lower"
    " bounds. [At the end](#on-which-qemu) stands on which QEMU each was seen.\n"
)


def metrics_page() -> str:
    """Return the reference of all metrics."""
    lines = [
        "# Metrics\n",
        GENERATED,
        VM_LABELS,
        PUSHED,
        "## Of a VM\n",
        _table(METRICS),
    ]
    lines += [
        _row(
            *_names(metric.name),
            _kind(metric.name),
            "<br>".join(map(_label, metric.labels)),
            _prose(metric.help),
        )
        for metric in ALL_VM_METRICS
    ]
    lines += [
        "\n## Of all VMs together\n",
        "Without `vm`, so that sums survive the VMs.\n",
        _table(METRICS),
    ]
    lines += [
        _row(
            *_names(name),
            "counter",
            "<br>".join(map(_label, metric.labels)),
            f"The sum of `{metric.name}` over all VMs since the exporter started.",
        )
        for name, metric in FLEET_METRICS.items()
    ]
    lines += [
        "\n## Of the exporter\n",
        _table(METRICS),
    ]
    lines += [
        _row(
            *_names(own.name),
            own.kind,
            "<br>".join(f"`{name}`" for name in own.labels),
            _prose(own.help)
            + (f" Buckets: {', '.join(map(_number, own.buckets))}." if own.buckets else ""),
        )
        for own in OWN_METRICS
    ]
    lines += [
        PROCESS,
        "## Groups\n",
        GROUPED,
        _table(("group", "what is in it", "metrics")),
        *(
            _row(f"`{group.name}`", group.help, ", ".join(f"`{p}*`" for p in group.prefixes))
            for group in GROUPS
        ),
        "\n## From a counter to its trace\n",
        TRACED,
        "## How many series\n",
        *_formula(),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _names(name: str) -> tuple[str, str]:
    """Return the cells of a metric's names, in Prometheus and in OpenTelemetry."""
    found, unit = otel_name(name)
    return f"`{name}`", f"`{found}`" + (f", {unit}" if unit else "")


def events_page() -> str:
    """Return the reference of all events."""
    lines = [
        "# Events\n",
        GENERATED,
        COALESCED,
    ]
    for spec in EVENTS:
        lines += _event(spec)
    lines += qemus.section(_table, _row, [spec.name for spec in EVENTS])
    return "\n".join(lines).rstrip("\n") + "\n"


def _event(spec: EventSpec) -> Iterator[str]:
    yield f"## {spec.name}\n"
    yield f"{spec.help}\n"
    yield f"- Defined in QEMU's `qapi/{spec.source}`."
    if spec.limited:
        yield f"- Coalesced by QEMU: one a second for {spec.limited}."
    yield f"- In traces and logs `{spec.otel_name}`, severity {spec.severity.name}."
    yield from (f"- Counts `{_signature(c.name, c.labels)}`." for c in spec.counters)
    yield from (f"- Sets `{_signature(g.name, g.labels)}`." for g in spec.gauges)
    if spec.note:
        yield f"- {spec.note}"
    yield "\n```json"
    for sample in spec.samples:
        data = "" if sample is None else f', "data": {json.dumps(sample)}'
        yield f'{{"event": "{spec.name}"{data}}}'
    yield "```\n"


def _formula() -> Iterator[str]:
    def count(disks: int) -> int:
        sink = MetricsSink()
        sink.add("vm")
        before = VM()
        found = BlockDevices(tuple(BlockDevice(qdev=f"disk{n}") for n in range(disks)))
        counts = BlockStats(tuple(DiskCounts(DiskStats(), qdev=f"disk{n}") for n in range(disks)))
        for given in (
            Link(TargetState.CONNECTED, 0.0, 0.0, identity=Identity(pid=1, started=1.0)),
            Reply("query-status", Status("running"), 0.0, 0.0),
            Reply("query-block", found, 0.0, 0.0),
            Reply("query-blockstats", counts, 0.0, 0.0),
        ):
            step = apply(before, given)
            sink.take("vm", given, before, step, None)
            before = step.vm
        page = sink.render(0.0, openmetrics=False, names=frozenset())
        return sum('vm="vm"' in line for line in page.splitlines())

    none, one = count(0), count(1)
    yield (
        f"A running VM without a disk, a display or a migration has {none} series, each disk adds"
        f" {one - none}: {one} with one. The first event adds"
        " `qemu_last_event_timestamp_seconds`, each display protocol that the VM serves adds 4, the"
        " first migration 17 statuses and what is known of its duration. Further series come with"
        " the events that need them.\n"
    )


def _table(heads: Iterable[str]) -> str:
    heads = tuple(heads)
    return f"{_row(*heads)}\n{_row(*('---' for _ in heads))}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _label(label: Label) -> str:
    if label.free:
        return f"`{label.name}`: an id"
    shown = ", ".join(f"`{value}`" for value in label.values[:WIDEST])
    more = len(label.values) - WIDEST
    return f"`{label.name}`: {shown}" + (f" and {more} more" if more > 0 else "")


def _signature(name: str, labels: tuple[Label, ...]) -> str:
    return f"{name}{{{','.join(('vm', *(label.name for label in labels)))}}}"


def _kind(name: str) -> str:
    return "counter" if name.endswith("_total") else "gauge"


def _prose(text: str) -> str:
    return text.replace("<", "&lt;")


def _number(value: float) -> str:
    return f"{value:g}"


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them; return the exit status."""
    check = arguments == ["--check"]
    stale = []
    for path, text in (
        (HERE / "metrics.md", metrics_page()),
        (HERE / "events.md", events_page()),
        (HERE / "spans.md", spans.page(_table, _row)),
        (HERE / "configuration.md", configuration.page(_table, _row)),
        (HERE / "recordings.md", recordings.page(_table, _row)),
        (SCHEMA, schema.text()),
    ):
        if not check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(path.relative_to(HERE.parent))
    for name in stale:
        print(f"{name} is not what the code says; run scripts/docs", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
