"""The runbooks: one for each alert, all alike, and what they tell people to type exists."""

from __future__ import annotations

import json
import re
from itertools import chain
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

import pytest

from boards.catalog import record, rule_files
from boards.reading import Known, Reading
from boards.series import series
from dashboards.alerts import ALERTS, Alert
from qmp_exporter.catalog.own_metrics import OWN_METRICS
from qmp_exporter.config.flags import FLAGS


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

FENCE: Final = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
METRIC: Final = re.compile(r"\b(?:qemu|qmp_exporter|process|vm:qemu)_\w+(?::\w+)?")
OF_VIRSH: Final = re.compile(r"\bvirsh ([a-z][a-z-]+)([^|;#`'\n]*)")
VARIABLE: Final = re.compile(r"\$|\[\[")

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


def known() -> Known:
    """Return the series that a page may name: those of scrapes and those of rules."""
    found = Known(series())
    record(found, rule_files())
    return found


KNOWN: Final = known()
NAMES: Final = KNOWN.series.keys() | {one.name for one in OWN_METRICS}


def queries(text: str) -> list[str]:
    """Return the queries of a page: a block may have several, with an empty line between them."""
    found = chain.from_iterable(re.split(r"\n\s*\n", block) for block in blocks(text, "promql"))
    return [query.strip() for query in found]


def faults(query: str) -> list[str]:
    """Return what a query names that there is not, and whether it has a variable of Grafana."""
    reading = Reading(KNOWN)
    if VARIABLE.search(query):
        reading.say("it has a variable of Grafana")
    reading.expression(query)
    return [f"{query}: {problem}" for problem in reading.problems]


@each_page
def test_every_query_can_be_pasted(page: Path) -> None:
    """It parses, and names only metrics, labels and values that there are."""
    found = queries(page.read_text())
    assert found, "a page without a query"
    assert list(chain.from_iterable(map(faults, found))) == []


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("qemu_vm_stop_total", ["no metric qemu_vm_stop_total"]),
        (
            'rate(qemu_vm_stops_total{reason="host"}[5m])',
            ["qemu_vm_stops_total has no label reason"],
        ),
        (
            'qemu_vm_stops_total{cause=~"host|hosts"}',
            ['qemu_vm_stops_total: cause is never "hosts"'],
        ),
        ("sum by (disk) (qemu_block_io_errors_total)", ["sum by (disk): there is no label disk"]),
        (
            "qemu_up and on (vms) qemu_vm_running",
            [f"{side} of and on (vms): there is no label vms" for side in ("left", "right")],
        ),
        ('qmp_exporter_targets{vm="web01"}', ["qmp_exporter_targets has no label vm"]),
        ('qemu_vm_stops_total{cause="$cause"}', ["it has a variable of Grafana"]),
        ("rate(qemu_vm_stops_total[[[__range]]])", ["it has a variable of Grafana"]),
    ],
)
def test_a_query_with_a_fault_is_found(query: str, wanted: list[str]) -> None:
    """Each kind of fault is told."""
    assert faults(query) == [f"{query}: {problem}" for problem in wanted]


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
