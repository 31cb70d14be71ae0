"""What a run was made on: the machine and the versions of everything, and no name of either."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks.processes import CORES, REPOSITORY


PACKAGES: Final = ("qemu.qmp", "prometheus-client", "msgspec", "aiohttp", "opentelemetry-sdk")
MODULES: Final = ("go-qemu", "client_golang")
MISSING: Final = "not here"


def describe() -> dict[str, str]:
    """Return what there is, by name."""
    found = {
        "CPU": processor(),
        "cores": str(len(CORES)),
        "memory": memory(),
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "qmp-exporter": said("git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"),
    }
    found |= {package: version(package) for package in PACKAGES}
    found["Go"] = said("go", "version").removeprefix("go version ")
    modules = (REPOSITORY / "benchmarks/go/go.mod").read_text()
    for module in MODULES:
        match = re.search(rf"/{module} (v\S+)", modules)
        found[module] = match[1] if match else MISSING
    found["QEMU"] = said("qemu-system-x86_64", "--version").removeprefix("QEMU emulator version ")
    return found


def processor() -> str:
    """The model of the CPU."""
    match = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return match[1] if match else platform.machine()


def memory() -> str:
    """How much there is, in GiB."""
    match = re.search(r"MemTotal:\s*([0-9]+) kB", Path("/proc/meminfo").read_text())
    return f"{int(match[1]) / 2**20:.0f} GiB" if match else MISSING


def said(*command: str) -> str:
    """The first line that a program prints, or that it is missing."""
    if shutil.which(command[0]) is None:
        return MISSING
    done = subprocess.run(  # noqa: S603 - the programs are named here
        command, capture_output=True, text=True, check=False
    )
    return done.stdout.splitlines()[0] if done.stdout else MISSING


def short() -> str:
    """A short name for files: the model of the CPU and how many cores."""
    words = re.sub(r"[^a-z0-9]+", "-", processor().lower()).strip("-")
    return f"{words[:SHORT].rstrip('-')}-{len(CORES)}"


SHORT: Final = 24
"""Characters of that model."""
