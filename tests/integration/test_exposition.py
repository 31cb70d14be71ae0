"""The page of a running exporter: formats, headers, names, and what is on it."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
from collections import Counter
from typing import TYPE_CHECKING

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse

from fake_qmp import FakeMonitor
from integration.exporter import OPENMETRICS, Exporter, exporting
from qmp_exporter.catalog.metrics import ALL_VM_METRICS, FLEET_METRICS
from qmp_exporter.catalog.own_metrics import OWN_METRICS
from support import require_tool


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TEXT = "text/plain; version=0.0.4; charset=utf-8"
LAST = "migrate-set-capabilities"
STRANGE = 'a "b" \\c\n\u2028 \x1b[31m'
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Exporter]:
    """An exporter of two VMs of which one has a hostile name, and of one that is not there."""
    block = {"device": "", "qom-path": "/machine/peripheral/d1/virtio-backend", "reason": STRANGE}
    peer = {"host": "192.0.2.1", "service": "1", "family": "ipv4", "websocket": False}
    paths = [tmp_path / f"{name}.sock" for name in ("a", "b", "none")]
    async with (
        FakeMonitor(paths[0], name="web01") as a,
        FakeMonitor(paths[1], name=f"{STRANGE}\ud800") as b,
        exporting(*paths, process_metrics=True) as it,
    ):
        for monitor in (a, b):
            await monitor.send_event(
                "BLOCK_IO_ERROR", {**block, "operation": "read", "action": "stop"}
            )
            await monitor.send_event("STOP")
            await monitor.send_event("VNC_CONNECTED", {"server": peer, "client": peer})
            await monitor.send_event("MIGRATION", {"status": "setup"})
            await monitor.send_event("MIGRATION", {"status": "failed"})
            await monitor.send_event("NOT_IN_THE_CATALOG", {STRANGE: 1})
            await monitor.send_event("RTC_CHANGE", {"offset": 5, "qom-path": STRANGE})
            await monitor.send_raw(b'{"event": "STOP", "timestamp": []}\r\n')
        await it.until(
            lambda page: len(page.rows("qmp_exporter_decode_errors_total")) == 2, "both VMs"
        )
        last = ("qmp_exporter_command_duration_seconds_count", {"command": LAST})
        await it.until(lambda page: page[last] == 2, "all answers")
        yield it


async def body(it: Exporter, accept: str | None = None, query: str = "") -> tuple[str, str]:
    """The text of a scrape and its content type."""
    headers = {"Accept": accept} if accept is not None else {}
    async with it.client.get(
        f"/metrics{query}", headers=headers, skip_auto_headers=["Accept"]
    ) as r:
        assert r.status == 200
        return await r.text(), r.headers["Content-Type"]


async def test_text_is_what_is_sent_unless_openmetrics_is_asked_for(running: Exporter) -> None:
    """By default 0.0.4; by what Prometheus says, OpenMetrics; the ends are as they must be."""
    for accept in (None, "*/*", "text/plain", "text/html,*/*;q=0.1", "text/plain;version=0.0.4"):
        text, kind = await body(running, accept)
        assert kind == TEXT
        assert "# EOF" not in text
        assert text.endswith("\n")
        assert list(parse(text))
    for accept in (OPENMETRICS, PROMETHEUS, "application/openmetrics-text"):
        text, kind = await body(running, accept)
        assert kind.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
        assert text.count("# EOF") == 1
        assert text.endswith("\n# EOF\n")
        assert list(parse_openmetrics(text))


@pytest.mark.parametrize(
    "accept",
    [
        "",
        ",;,",
        "application/openmetrics-text; version=nonsense",
        "application/openmetrics-text; version=",
        "application/openmetrics-text; version=99.0.0",
        "application/openmetrics-text; version=1.0.0; escaping=nonsense",
        "application/openmetrics-text; version=\u0661.0",
        "text/plain; version=x.y",
        "text/plain; version=99",
        "application/openmetrics-text; version=0.0.1",
        "x" * 4000,
    ],
)
async def test_no_accept_header_is_too_strange(running: Exporter, accept: str) -> None:
    """It gets one of the formats that there are, and a content type that says which."""
    text, kind = await body(running, accept)
    if kind.startswith("application/openmetrics-text"):
        assert kind.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
        assert text.endswith("\n# EOF\n")
        assert list(parse_openmetrics(text))
    else:
        assert kind.startswith(("text/plain; version=0.0.4;", "text/plain; version=1.0.0;"))
        assert list(parse(text))


async def test_both_formats_hold_the_same_samples_and_none_twice(running: Exporter) -> None:
    """By name and labels, as strict parsers read them; own metrics of the process change."""
    found = []
    for accept, read in ((None, parse), (OPENMETRICS, parse_openmetrics)):
        text, _ = await body(running, accept)
        samples = [
            (sample.name, frozenset(sample.labels.items()))
            for family in read(text)
            for sample in family.samples
        ]
        assert [key for key, times in Counter(samples).items() if times > 1] == []
        found.append({s for s in samples if not s[0].endswith(("_created", "_info"))})
    assert found[0] == found[1]
    assert len(found[0]) > 300


async def test_every_name_has_its_help_and_type_once_before_its_samples(
    running: Exporter,
) -> None:
    """And the metrics are those of the catalog, besides the process's and Python's."""
    text, _ = await body(running)
    heads = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    helps = [line.split()[2] for line in text.splitlines() if line.startswith("# HELP ")]
    assert heads == helps
    assert len(set(heads)) == len(heads)
    known = {m.name for m in (*ALL_VM_METRICS, *OWN_METRICS)} | set(FLEET_METRICS)
    others = {name for name in heads if not name.startswith(("process_", "python_"))}
    assert others <= known
    assert {spec.name for spec in OWN_METRICS} <= set(heads)


async def test_promtool_has_nothing_to_say(running: Exporter) -> None:
    """`promtool check metrics` prints nothing about the exporter's metrics."""
    text, _ = await body(running)
    ours = "".join(
        f"{line}\n"
        for line in text.splitlines()
        if not line.removeprefix("# HELP ").removeprefix("# TYPE ").startswith("python_")
    )
    assert await asyncio.to_thread(checked, ours) == ("", "", 0)


def checked(text: str) -> tuple[str, str, int]:
    """What promtool prints about a page, and its exit status."""
    command = [require_tool("promtool"), "check", "metrics"]
    found = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return found.stdout, found.stderr, found.returncode


async def test_the_series_of_a_hostile_vm_are_as_good_as_any(running: Exporter) -> None:
    """Its name is made fit for a label; what its guest chose is nowhere."""
    page = await running.scrape()
    assert "none" in page.vms()
    (name,) = page.vms() - {"web01", "none"}
    assert name == 'a "b" \\c?? ?[31m?'
    for vm in ("web01", name):
        assert page.rows("qemu_block_io_errors_total", vm=vm) == {("stop", "d1", "read"): 1.0}
        assert page["qemu_events_total", {"vm": vm, "event": "other"}] == 1.0
        assert page.rows("qmp_exporter_decode_errors_total", vm=vm) == {("STOP",): 1.0}
    assert "NOT_IN_THE_CATALOG" not in page.text
    assert "192.0.2.1" not in page.text
    assert "\x1b" not in page.text


async def test_gzip_and_head(running: Exporter) -> None:
    """The same page packed, and the same headers without a page."""
    async with aiohttp.ClientSession(running.client._base_url, auto_decompress=False) as client:
        async with client.get("/metrics", headers={"Accept-Encoding": "gzip"}) as response:
            packed = await response.read()
            assert response.headers["Content-Encoding"] == "gzip"
            assert len(packed) == int(response.headers["Content-Length"])
            assert "# HELP qemu_up " in gzip.decompress(packed).decode()
        async with client.get("/metrics", headers={"Accept-Encoding": "identity"}) as response:
            assert "Content-Encoding" not in response.headers
            assert "# HELP qemu_up " in await response.text()
        async with client.head("/metrics", headers={"Accept": OPENMETRICS}) as response:
            assert response.status == 200
            assert response.headers["Content-Type"].startswith("application/openmetrics-text")
            assert int(response.headers["Content-Length"]) > 0
            assert await response.read() == b""


async def test_only_the_names_that_are_asked_for(running: Exporter) -> None:
    """Of VMs, of the fleet and of the exporter, in both formats; unknown ones give nothing."""
    names = ["qemu_up", "qmp_exporter_fleet_events_total", "qmp_exporter_build_info"]
    query = "?" + "&".join(f"name[]={name}" for name in names)
    text, _ = await body(running, query=query)
    assert {sample.name for family in parse(text) for sample in family.samples} == set(names)
    text, _ = await body(running, OPENMETRICS, query)
    found = {sample.name for family in parse_openmetrics(text) for sample in family.samples}
    assert found == set(names)
    for accept, empty in ((None, ""), (OPENMETRICS, "# EOF\n")):
        assert (await body(running, accept, "?name[]=nonsense"))[0] == empty


async def test_metrics_of_the_process_can_be_left_out(tmp_path: Path) -> None:
    """Those that belong to this exporter stay."""
    for process in (True, False):
        async with exporting(tmp_path / "vm.sock", process_metrics=process) as it:
            page = await it.scrape()
        names = {name for name, _ in page.samples}
        assert ("process_resident_memory_bytes" in names) is process
        assert any(name.startswith("python_") for name in names) is process
        assert {"qmp_exporter_build_info", "qmp_exporter_targets"} <= names


async def test_what_the_exporter_does_is_counted(running: Exporter) -> None:
    """Delays of events, durations of commands, and how late the loop was."""
    page = await running.until(
        lambda page: page["qmp_exporter_event_loop_lag_seconds_count"], "a look at the clock"
    )
    assert page["qmp_exporter_event_delay_seconds_count"] == 14.0
    name = "qmp_exporter_command_duration_seconds_count"
    commands = {command for (command,) in page.rows(name)}
    assert {"query-status", "query-name", "query-block"} <= commands
    assert page[name, {"command": "query-uuid"}] == 2.0
    assert page["qmp_exporter_fleet_events_total", {"event": "RTC_CHANGE"}] == 2.0
    durations = page.rows("qmp_exporter_fleet_migration_duration_seconds_count")
    assert durations == {("failed", "source"): 2.0}
    assert page.rows("qmp_exporter_sink_errors_total") == {}
