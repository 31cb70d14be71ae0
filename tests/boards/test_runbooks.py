"""The runbooks: one for each alert, all alike, and what they tell people to type exists."""

from __future__ import annotations

import json
import re
from itertools import chain
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest
from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    MatchOp,
    MatrixSelector,
    ParenExpr,
    SubqueryExpr,
    UnaryExpr,
    VectorSelector,
    parse,
)

from dashboards.alerts import ALERTS, Alert
from dashboards.rules import RISING, recorded
from qmp_exporter.catalog.metrics import ALL_VM_METRICS, FLEET_METRICS
from qmp_exporter.catalog.own_metrics import OWN_METRICS
from qmp_exporter.catalog.states import OTHER
from qmp_exporter.config.flags import FLAGS


if TYPE_CHECKING:
    from collections.abc import Iterator

    from promql_parser import Expr


Labels: TypeAlias = dict[str, frozenset[str]]
"""The labels of a metric, and the values that each may have; none where they are open."""

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "docs" / "runbooks"
README: Final = FOLDER / "README.md"
PAGES: Final = sorted(FOLDER.glob("*.md"))

HEADINGS: Final = ("What it means", "What to look at", "What to do", "When it is false")


def table(text: str) -> dict[str, set[str]]:
    """Return the words behind the first one of each line."""
    rows = (line.split() for line in text.strip().splitlines())
    return {first: set(others) for first, *others in rows}


COMMANDS: Final = table("""
    block-set-write-threshold node-name write-threshold
    blockdev-del node-name
    cont
    device_del id
    dump-guest-memory paging protocol detach format
    human-monitor-command command-line
    migrate uri resume
    migrate-recover uri
    migrate-set-parameters downtime-limit max-bandwidth
    migrate-start-postcopy
    migrate_cancel
    qmp_capabilities
    system_reset
    qom-get path property
    query-acpi-ospm-status
    query-block
    query-blockstats
    query-dump
    query-dump-guest-memory-capability
    query-memory-devices
    query-memory-size-summary
    query-migrate
    query-migrate-capabilities
    query-migrate-parameters
    query-named-block-nodes flat
    query-qmp-schema
    query-spice
    query-status
    query-version
    query-vnc-servers
    set-action panic
    set_password protocol password
    stop
    x-blockdev-change parent child
    yank instances
""")
"""Commands and arguments that QEMU 7.2.22, 10.0.2 and 11.1.3 all have, by query-qmp-schema."""

VIRSH: Final = table("""
    console
    destroy
    detach-device-alias --config --live
    domblkerror
    domblkinfo --all --human
    domblklist --details
    domblkthreshold
    domcontrol
    domdisplay --all
    domfstrim
    domif-setlink
    domjobabort
    domjobinfo --anystats --completed
    domstate --reason
    domtime --now --pretty
    dump --format --memory-only
    dumpxml
    event --domain --event --loop --timestamp
    inject-nmi
    migrate --live --p2p --postcopy --postcopy-resume
    migrate-getmaxdowntime
    migrate-getspeed
    migrate-postcopy
    migrate-setmaxdowntime
    migrate-setspeed
    qemu-monitor-command --hmp --pretty
    reset
    resume
    screenshot --file
    set-lifecycle-action --config --live
    start
    suspend
""")
"""Commands and options of virsh 9.0, by ``virsh help COMMAND``."""

PROCESS: Final = ("process_resident_memory_bytes", "process_start_time_seconds")
"""Of those that prometheus-client tells of the exporter's process."""

FENCE: Final = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
METRIC: Final = re.compile(r"\b(?:qemu|qmp_exporter|process|vm:qemu)_\w+(?::\w+)?")
OF_VIRSH: Final = re.compile(r"\bvirsh ([a-z][a-z-]+)([^|;#`'\n]*)")
OF_A_VM: Final = {"job", "instance", "vm"}

each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


# The text


def blocks(text: str, language: str) -> list[str]:
    """Return what stands in the fences of a language."""
    return [dedent(body) for _, found, body in FENCE.findall(text) if found == language]


def without_blocks(text: str) -> str:
    """Return a page without what stands in fences, where # is no heading."""
    return FENCE.sub("", text)


def headings(path: Path) -> list[tuple[str, str]]:
    """Return the headings of a page, each with its hashes before it."""
    return re.findall(r"^(#+) (.+)$", without_blocks(path.read_text()), re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return what leads to the headings of a page, as GitHub names them."""
    titles = (title.lower() for _, title in headings(path))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def runbook(alert: Alert) -> str:
    """Return the page of an alert."""
    return (FOLDER / f"{alert.name}.md").read_text()


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    """None is missing, and none was left behind."""
    assert [page.stem for page in PAGES if page != README] == sorted(a.name for a in ALERTS)


@each_alert
def test_all_runbooks_have_the_same_parts(alert: Alert) -> None:
    """The name of the alert, then the four parts in their order, none of them empty."""
    expected = [("#", alert.name), *(("##", title) for title in HEADINGS)]
    assert headings(FOLDER / f"{alert.name}.md") == expected
    parts = re.split(r"^#+ .+$", without_blocks(runbook(alert)), flags=re.MULTILINE)
    assert all(part.strip() for part in parts[1:])


@each_alert
def test_a_runbook_is_read_in_a_minute(alert: Alert) -> None:
    """It has 35 to 80 lines."""
    assert len(runbook(alert).splitlines()) in range(35, 81)


@each_alert
def test_a_runbook_says_how_bad_it_is_as_the_alert_does(alert: Alert) -> None:
    """The severity, and how long it lasts before it fires."""
    waits = f"after {alert.wait}" if alert.wait else "at once"
    assert f"\nSeverity: **{alert.severity}**, {waits}. " in runbook(alert)


@each_page
def test_prose_is_wrapped(page: Path) -> None:
    """No line but those of tables is longer than 100 columns."""
    lines = page.read_text().splitlines()
    assert [line for line in lines if len(line) > 100 and not line.startswith("|")] == []


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    """The file is there, and has the heading."""
    for link in LINK.findall(without_blocks(page.read_text())):
        if "://" not in link:
            name, _, anchor = link.partition("#")
            path = page.parent / name if name else page
            assert path.is_file(), link
            assert not anchor or anchor in anchors(path), link


def test_the_table_tells_of_all_alerts_what_is_so() -> None:
    """Each in its order, with its link, its severity and how long it lasts before it fires."""
    row = r"^\| \[(\w+)\]\((\w+)\.md\) \| (\w+) \| (\S+) \| [^|]+ \| [^|]+\. \|$"
    told = [(a.name, a.name, a.severity, a.wait or "-") for a in ALERTS]
    assert re.findall(row, README.read_text(), re.MULTILINE) == told


# PromQL


def catalog() -> dict[str, Labels]:
    """Return the labels of every series that a page may name."""
    vm: Labels = dict.fromkeys(OF_A_VM, frozenset())
    own = {name: vm[name] for name in OF_A_VM - {"vm"}}
    found: dict[str, Labels] = dict.fromkeys(("up", *PROCESS), own)
    for metric in ALL_VM_METRICS:
        labels = {
            label.name: frozenset({*label.values, OTHER} if label.values else ())
            for label in metric.labels
        }
        found[metric.name] = vm | labels
        if metric.name in RISING:
            found[recorded(metric.name)] = vm | labels
        if metric in FLEET_METRICS.values():
            fleet = next(name for name, of in FLEET_METRICS.items() if of is metric)
            found[fleet] = own | labels
    for one in OWN_METRICS:
        names = {name: frozenset[str]() for name in one.labels}
        if one.kind == "histogram":
            found[f"{one.name}_bucket"] = own | names | {"le": frozenset()}
            found[f"{one.name}_count"] = found[f"{one.name}_sum"] = own | names
        else:
            found[one.name] = own | names
    return found


SERIES: Final = catalog()
NAMES: Final = SERIES.keys() | {one.name for one in OWN_METRICS}


def queries(text: str) -> list[str]:
    """Return the queries of a page: a block may have several, with an empty line between them."""
    found = chain.from_iterable(re.split(r"\n\s*\n", block) for block in blocks(text, "promql"))
    return [query.strip() for query in found]


def within(expr: Expr) -> Iterator[Expr]:
    """Yield an expression and all that it is made of."""
    yield expr
    parts: tuple[Expr, ...] = ()
    if isinstance(expr, BinaryExpr):
        parts = expr.lhs, expr.rhs
    elif isinstance(expr, AggregateExpr):
        parts = (expr.expr,)
    elif isinstance(expr, Call):
        parts = tuple(expr.args)
    elif isinstance(expr, MatrixSelector):
        parts = (expr.vector_selector,)
    elif isinstance(expr, ParenExpr | SubqueryExpr | UnaryExpr):
        parts = (expr.expr,)
    for part in parts:
        yield from within(part)


def named(query: str) -> tuple[list[VectorSelector], set[str]]:
    """Return the selectors of a query, and the labels by which it groups and matches."""
    parts = list(within(parse(query)))
    grouped = (part.modifier for part in parts if isinstance(part, AggregateExpr))
    binary = (part.modifier for part in parts if isinstance(part, BinaryExpr))
    matched = (modifier.matching for modifier in binary if modifier)
    labels = chain.from_iterable(one.labels for one in (*grouped, *matched) if one)
    return [part for part in parts if isinstance(part, VectorSelector)], set(labels)


def values_of(matcher: Any) -> set[str]:
    """Return the values that a matcher names; none where it is a real regular expression."""
    if matcher.op in (MatchOp.Equal, MatchOp.NotEqual):
        return {matcher.value}
    return set(matcher.value.split("|")) if re.fullmatch(r"[\w|-]+", matcher.value) else set()


def faults(query: str) -> list[str]:
    """Return what a query names that there is not."""
    selectors, grouping = named(query)
    found = [f"{query}: no metric {one.name}" for one in selectors if one.name not in SERIES]
    known = [one for one in selectors if one.name in SERIES]
    for one in known:
        labels = SERIES[str(one.name)]
        for matcher in one.matchers.matchers:
            allowed = labels.get(matcher.name)
            if allowed is None:
                found.append(f"{query}: {one.name} has no label {matcher.name}")
            elif allowed:
                wrong = values_of(matcher) - allowed
                found += [f"{query}: {matcher.name} is never {value}" for value in wrong]
    everywhere = set[str]().union(*(SERIES[str(one.name)] for one in known))
    return found + [f"{query}: nothing has the label {name}" for name in grouping - everywhere]


@each_page
def test_every_query_can_be_pasted(page: Path) -> None:
    """It parses, and names only metrics, labels and values that there are."""
    found = queries(page.read_text())
    assert found, "a page without a query"
    assert list(chain.from_iterable(map(faults, found))) == []


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("qemu_vm_stop_total", "no metric qemu_vm_stop_total"),
        ('rate(qemu_vm_stops_total{reason="host"}[5m])', "qemu_vm_stops_total has no label reason"),
        ('qemu_vm_stops_total{cause=~"host|hosts"}', "cause is never hosts"),
        ("sum by (disk) (qemu_block_io_errors_total)", "nothing has the label disk"),
        ("qemu_up and on (vms) qemu_vm_running", "nothing has the label vms"),
        ('qmp_exporter_targets{vm="web01"}', "qmp_exporter_targets has no label vm"),
    ],
)
def test_a_query_with_a_fault_is_found(query: str, wanted: str) -> None:
    """Each kind of fault is told."""
    assert faults(query) == [f"{query}: {wanted}"]


@each_page
def test_every_metric_that_is_named_exists(page: Path) -> None:
    """Also outside of queries."""
    assert set(METRIC.findall(page.read_text())) - NAMES == set()


# Commands


def commands(text: str) -> list[dict[str, Any]]:
    """Return all QMP commands of a page, wherever they stand."""
    found = (match.start() for match in re.finditer(r'\{"execute"', text))
    return [json.JSONDecoder().raw_decode(text, place)[0] for place in found]


@each_page
def test_every_qmp_command_exists(page: Path) -> None:
    """QEMU 7.2 to 11.1 have it, with these arguments."""
    for command in commands(page.read_text()):
        assert command.keys() <= {"execute", "arguments"}
        assert command["execute"] in COMMANDS
        arguments = command.get("arguments", {})
        assert arguments.keys() - COMMANDS[command["execute"]] == set(), command


@each_page
def test_blocks_of_json_are_commands(page: Path) -> None:
    """There is nothing else in them, so that they can be pasted as they are."""
    for block in blocks(page.read_text(), "json"):
        told = " ".join(json.dumps(command) for command in commands(block))
        assert "".join(told.split()) == "".join(block.split())


@each_page
def test_every_command_of_virsh_exists(page: Path) -> None:
    """It is one of libvirt 9.0, with options that it has."""
    for command, rest in OF_VIRSH.findall(page.read_text()):
        assert command in VIRSH
        assert set(re.findall(r"--[a-z0-9-]+", rest)) - VIRSH[command] == set(), command


def test_no_command_is_known_that_no_page_names() -> None:
    """What is not looked up any more need not be kept here."""
    text = "".join(page.read_text() for page in PAGES)
    assert {command["execute"] for command in commands(text)} == set(COMMANDS)
    assert {command for command, _ in OF_VIRSH.findall(text)} == set(VIRSH)


@each_page
def test_every_flag_of_the_exporter_is_one(page: Path) -> None:
    """No flag is named that it does not have."""
    named_flags = re.findall(r"--(?:[a-z]+\.)+[a-z-]+|--no-[a-z.-]+", page.read_text())
    assert set(named_flags) - {flag.name for flag in FLAGS} == set()


@each_page
def test_fences_are_of_the_three_languages(page: Path) -> None:
    """So that every block is looked at by one of these tests."""
    languages = {language for _, language, _ in FENCE.findall(page.read_text())}
    assert languages <= {"promql", "json", "sh"}
