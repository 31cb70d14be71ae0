"""A real Prometheus scrapes the exporter."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import builders
from fake_qmp import FakeMonitor
from integration.exporter import exporting
from integration.prometheus import asked, exemplars, prometheus, until, values
from qmp_exporter.model.event import Event
from support import require_tool


if TYPE_CHECKING:
    from qmp_exporter.model.inputs import Input
    from qmp_exporter.model.vm import VM, Step
    from qmp_exporter.sinks import Trace

ROOT = Path(__file__).parents[2]
LAST = "qemu_last_event_timestamp_seconds"
EXAMPLES = ROOT / "docs" / "web"


async def test_prometheus_scrapes_it_and_sees_counters_rise(tmp_path: Path) -> None:
    """The target is up, the VM is up, and the first event of a kind makes an increase."""
    vm = '{vm="web01"}'
    increase = 'increase(qemu_guest_panics_total{vm="web01",action="pause",kind="unknown"}[1m])'
    async with FakeMonitor(tmp_path / "vm.sock", name="web01") as monitor, exporting(monitor) as it:
        address = it.app.server.bound[0].removeprefix("http://")
        async with prometheus(tmp_path, address) as client:
            await until(client, lambda found: values(found) == [1.0], "query", query=f"qemu_up{vm}")
            targets = await asked(client, "targets")
            (target,) = targets["activeTargets"]
            assert (target["health"], target["lastError"]) == ("up", "")
            await until(client, lambda found: values(found) == [0.0], "query", query=increase)
            await monitor.send_event("GUEST_PANICKED", {"action": "pause"})
            await until(client, lambda found: values(found)[0] > 0, "query", query=increase)
            metadata = await asked(client, "metadata")
            assert metadata["qemu_up"][0]["type"] == "gauge"
            # By the name of the family, which in OpenMetrics has no `_total`.
            events = metadata.get("qemu_events") or metadata["qemu_events_total"]
            assert events[0]["type"] == "counter"
            counted = await asked(client, "query", query='{__name__=~"qemu_.+"}')
            assert len(counted["result"]) > 100


class Tracing:
    """A sink that puts each event in a trace of its own: the first one in that of number 1."""

    name = "spans"

    def __init__(self) -> None:
        self.events = 0

    def take(
        self, vm: str, given: Input, before: VM, step: Step, trace: Trace | None
    ) -> Trace | None:
        """Put an event in the next trace."""
        del vm, before, step, trace
        if not isinstance(given, Event):
            return None
        self.events += 1
        return builders.trace(self.events)

    def add(self, vm: str, state: VM | None = None) -> None:
        """Take in a VM."""

    def rename(self, old: str, new: str) -> None:
        """Take another name."""

    def forget(self, vm: str) -> None:
        """Forget."""


async def test_prometheus_keeps_the_traces_of_a_counter(tmp_path: Path) -> None:
    """Each that it saw, when it stores exemplars: by how much and when; of the VM and of all.

    It asks for OpenMetrics by itself, and has nothing to say about what it gets, even if that
    does not come in order.
    """
    data = {"device": "disk0", "operation": "read", "action": "stop"}
    series = 'qemu_block_io_errors_total{vm="web01",device="disk0"}'
    async with FakeMonitor(tmp_path / "vm.sock", name="web01") as monitor, exporting(monitor) as it:
        it.app.pipeline._sinks = (Tracing(), *it.app.sinks)
        address = it.app.server.bound[0].removeprefix("http://")
        async with prometheus(tmp_path, address, features="exemplar-storage") as client:
            for number in (1, 2):
                await monitor.send_event("BLOCK_IO_ERROR", data)
                found = await exemplars(client, series, number)
                put = builders.trace(number)
                (labels, value, stamp) = found[-1]
                assert labels == {"trace_id": put.trace_id, "span_id": put.span_id}
                newest = (await it.scrape())[LAST, {"vm": "web01"}]
                assert (value, stamp) == (1.0, pytest.approx(newest, abs=0.001))
                assert len(found) == number
            fleet = 'qmp_exporter_fleet_events_total{event="BLOCK_IO_ERROR"}'
            assert await exemplars(client, fleet, 2) == found
            await monitor.send_event("BLOCK_IO_ERROR", data, seconds=int(stamp) - 1)
            scrapes = f"count_over_time(({series} == 3)[1m:200ms])"
            await until(client, lambda found: values(found) > [5.0], "query", query=scrapes)
            assert await exemplars(client, series, 2) == found
    assert "exemplar" not in (tmp_path / "log").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The examples, with certificates made by the commands of the documentation."""
    require_tool("openssl")
    shutil.copytree(EXAMPLES, tmp_path, dirs_exist_ok=True)
    (commands,) = re.findall(
        r"```sh\n(.*?)```", (ROOT / "docs" / "web-config.md").read_text(), re.DOTALL
    )
    subprocess.run(["sh", "-euc", commands], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "password").write_text("change me")
    return tmp_path


@pytest.mark.parametrize(
    ("how", "refusal"), [("mtls", "certificate"), ("password", "401 Unauthorized")]
)
async def test_prometheus_scrapes_with_the_files_that_are_shown(
    how: str, refusal: str, folder: Path
) -> None:
    """And one without the certificate, or the password, learns nothing but why."""
    file = str(folder / f"{how}.yml")
    config = (folder / f"prometheus-{how}.yml").read_text()
    assert (EXAMPLES / f"{how}.yml").read_text() in (ROOT / "README.md").read_text()
    assert config in (ROOT / "README.md").read_text()
    stranger, removed = re.subn(
        r"    basic_auth:\n(      .*\n)+|      (cert|key)_file:.*\n", "", config
    )
    assert removed
    async with (
        FakeMonitor(folder / "vm.sock", name="web01") as monitor,
        exporting(monitor, web_config_file=file) as it,
    ):
        address = it.app.server.bound[0].removeprefix("https://127.0.0.1")
        config, stranger = (
            text.replace("localhost:10767", f"localhost{address}") for text in (config, stranger)
        )
        async with prometheus(folder, address, config) as client:
            up = 'qemu_up{vm="web01"}'
            await until(client, lambda found: values(found) == [1.0], "query", query=up)
        async with prometheus(folder, address, stranger) as client:
            targets = await until(client, lambda found: refused(found, refusal), "targets")
            assert targets["activeTargets"][0]["health"] == "down"


def refused(targets: Any, why: str) -> bool:
    """Whether the one target of a Prometheus is down for a reason."""
    return [why in target["lastError"] for target in targets["activeTargets"]] == [True]
