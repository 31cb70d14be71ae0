"""A real Prometheus scrapes the exporter."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fake_qmp import FakeMonitor
from integration.exporter import exporting
from integration.prometheus import asked, prometheus, until, values
from support import require_tool


ROOT = Path(__file__).parents[2]
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
