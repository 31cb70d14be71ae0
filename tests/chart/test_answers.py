"""The pod of `helm test`, acted out: its command, with the Service's name replaced."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

from apart.program import program
from chart.rendering import made, only


if TYPE_CHECKING:
    from pathlib import Path


def command(name: str) -> list[str]:
    """Return the command of the test pod, run by this Python."""
    (container,) = only(made(name), "Pod")["spec"]["containers"]
    assert container["command"][0] == "python3"
    return [sys.executable, *container["command"][1:]]


def asking(command: list[str], url: str, metrics: str) -> list[str]:
    """Return the command with another URL; it gives up at once."""
    python, flag, code, asked, path = command
    assert asked.endswith(".svc:10767")
    assert path == "/metrics"
    scheme = asked.partition("://")[0]
    code = code.replace("monotonic() + 30", "monotonic()")
    return [python, flag, code, f"{scheme}://{url.partition('://')[2]}", metrics]


async def run(arguments: list[str]) -> tuple[int | None, str]:
    """Return exit status and stderr."""
    child = await asyncio.create_subprocess_exec(*arguments, stderr=asyncio.subprocess.PIPE)
    _, said = await child.communicate()
    return child.returncode, said.decode()


def test_is_a_test() -> None:
    """It runs for `helm test` alone, once, and goes when all is well."""
    found = only(made("daemonset"), "Pod")
    assert found["metadata"]["annotations"] == {
        "helm.sh/hook": "test",
        "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
    }
    assert found["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize("name", ["daemonset", "tls"])
async def test_answers(name: str, tmp_path: Path) -> None:
    """It is well when the exporter answers, with its build or, where nobody is let in, its port."""
    sockets = f"{tmp_path}/*.qmp"
    async with program(tmp_path / "log", "--qmp.socket", sockets) as running:
        assert await run(asking(command(name), running.url, "/metrics")) == (0, "")
        url = running.url
    status, said = await run(asking(command(name), url, "/metrics"))
    assert status == 1
    assert "refused" in said


async def test_answers_of_another(tmp_path: Path) -> None:
    """It fails where something answers that has no build of ours."""
    async with program(tmp_path / "log", "--qmp.socket", f"{tmp_path}/*.qmp") as running:
        asked: Any = asking(command("daemonset"), running.url, "/-/healthy")
        status, said = await run(asked)
    assert status == 1
    assert "no qmp_exporter_build_info" in said
