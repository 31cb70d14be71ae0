"""The exporter as a process, with OpenTelemetry and without."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from integration.test_process import PROGRAM, fetched, running
from otlp import Receiver, certify
from otlp_faults import BLACK_HOLE, HANG, REFUSE, Fault, status


if TYPE_CHECKING:
    from pathlib import Path

SENDS = """
import asyncio, os
from qmp_exporter.config.otel import read_otel
from qmp_exporter.model.inputs import Identity
from qmp_exporter.telemetry import logs
from qmp_exporter.telemetry.otel.events import Description
from qmp_exporter.telemetry.otel.providers import Providers

async def main():
    logs.configure("info", "logfmt")
    providers = Providers(read_otel(os.environ))
    for _ in range(10):
        providers.tracer(Identity(), "web01").start_span("qemu.stop").end()
        providers.logger(Identity(), "web01").emit(Description("qemu.stop", 9, "STOP", {}), 1)
    print("ready", flush=True)
    await asyncio.to_thread(input)
    await asyncio.to_thread(providers.close, 1.0)
    print({signal: counts.tally.queued for signal, counts in providers.counts.items()})

asyncio.run(main())
"""
"""What is on its way to a collector when the end comes."""


def clean(**more: str) -> dict[str, str]:
    """The environment of this process, without what it may say of OpenTelemetry, and more."""
    found = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}
    return found | more


def imported(*arguments: str, **more: str) -> set[str]:
    """The modules that a run of the exporter imports."""
    command = [sys.executable, "-X", "importtime", "-m", "qmp_exporter", *arguments]
    done = subprocess.run(
        command, env=clean(**more), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return modules(done.stderr)


def modules(log: str) -> set[str]:
    """The packages of what `-X importtime` tells."""
    lines = (line for line in log.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


LARGE = {"opentelemetry", "requests", "grpc", "google"}


@pytest.mark.parametrize(
    "more", [{}, {"OTEL_SDK_DISABLED": "True", "OTEL_TRACES_EXPORTER": "otlp"}]
)
def test_off_is_nothing_of_it(more: dict[str, str], tmp_path: Path) -> None:
    """A process that serves has imported no module of OpenTelemetry, nor has --config.check."""
    assert not imported("--config.check", "--qmp.socket", "/vm.sock", **more) & LARGE
    arguments = ["--web.listen-address", f"unix:{tmp_path}/http.sock", "--qmp.socket", "/vm.sock"]
    command = [sys.executable, "-X", "importtime", "-m", "qmp_exporter", *arguments]
    with subprocess.Popen(command, env=clean(**more), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        log = ""
        for line in process.stderr:
            log += line
            if "listens on" in line:
                process.send_signal(signal.SIGTERM)
    assert process.returncode == 0, log
    assert "aiohttp" in modules(log)
    assert not modules(log) & LARGE


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_is_quick_whatever_is_set(argument: str) -> None:
    """It imports nothing of OpenTelemetry, and is no error where a variable is."""
    assert not imported(argument, OTEL_TRACES_EXPORTER="otlp") & (LARGE | {"aiohttp", "yaml"})
    assert imported(argument, OTEL_TRACES_EXPORTER="nonsense")


def test_a_wrong_variable_is_one_line() -> None:
    """With exit status 2; a run that would not look at it is none the worse."""
    done = subprocess.run(
        [*PROGRAM, "--qmp.socket", "/vm.sock"],
        env=clean(OTEL_TRACES_EXPORTER="otlp", OTEL_BSP_MAX_QUEUE_SIZE="many"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "qmp-exporter: OTEL_BSP_MAX_QUEUE_SIZE: found 'many'; expected a whole number,"
        " 1 to 2147483647\n"
    )


async def test_its_counts_are_there_at_0(tmp_path: Path) -> None:
    """Of the signals that are exported, and of no others; the end is quiet."""
    async with Receiver() as receiver:
        environment = receiver.environment(logs_exporter="none")

        def run() -> tuple[str, str]:
            with running("--qmp.socket", f"{tmp_path}/vm.sock", environment=environment) as found:
                process, url, _ = found
                page = fetched(f"{url}/metrics")
                process.send_signal(signal.SIGTERM)
                _, log = process.communicate(timeout=30)
            assert process.returncode == 0
            return page, log

        page, log = await asyncio.to_thread(run)
    start = "qmp_exporter_otel_"
    names = ("queued", "exported_total", "failed_total", "dropped_total")
    for name in (*names, "last_success_timestamp_seconds"):
        assert f'\n{start}{name}{{signal="traces"}} 0.0\n' in page
    assert 'signal="logs"' not in page
    assert "otel" not in log


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize(
    "fault", [REFUSE, BLACK_HOLE, HANG, status(503)], ids=lambda fault: fault.kind
)
async def test_a_dead_collector_does_not_keep_the_process(protocol: Any, fault: Fault) -> None:
    """It ends, well, soon after the time that it has; what it says is ours, and few lines."""
    async with Receiver() as receiver:
        await receiver.fail(fault)
        process = await started(receiver.environment(protocol))
        began = time.monotonic()
        out, log = await asyncio.wait_for(process.communicate(b"\n"), 60)
        assert time.monotonic() - began < 10
        assert (process.returncode, out) == (0, b"{'traces': 0, 'logs': 0}\n"), log.decode()
        lines = log.decode().splitlines()
        assert lines[-1].endswith('msg="not exported when time was up: 10 traces and 10 logs"')
        assert all(line.startswith("ts=") for line in lines)
        assert len(lines) <= 3


async def test_what_libraries_say_by_themselves_is_not_heard(tmp_path: Path) -> None:
    """That of gRPC would write of each handshake that failed to stderr."""
    certify(tmp_path)
    async with Receiver(tls=tmp_path, certificate="stranger") as receiver:
        process = await started(receiver.environment("grpc", exporter_otlp_timeout="300"))
        assert process.stderr is not None
        lines = {(await process.stderr.readline()).decode() for _ in range(2)}
        _, log = await asyncio.wait_for(process.communicate(b"\n"), 60)
        assert log == b""
        assert all("are not exported to localhost:" in line for line in lines)


async def started(environment: dict[str, str]) -> asyncio.subprocess.Process:
    """A process that has telemetry to send, and ends once it is told to."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SENDS),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=clean(**environment),
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"ready\n"
    return process
