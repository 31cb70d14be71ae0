"""Runs the scenarios of tests/guest on one QEMU after the other, and prints what came of each.

A program: ``results.py [QEMU]... [-- ARGUMENT...]``, see scripts/guest.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Final

from e2e.lab.generation import told


if TYPE_CHECKING:
    from collections.abc import Iterable


ROOT: Final = Path(__file__).parents[2]
SCENARIOS: Final = ("devices", "memory", "power")
PASSED, FAILED, SKIPPED = "passed", "FAILED", "not here"


def path_of(qemu: str) -> str:
    """Return the path of a QEMU, given that or a version that scripts/qemu unpacks."""
    if "/" in qemu or not re.match(r"\d", qemu):
        return qemu
    done = subprocess.run([ROOT / "scripts/qemu", qemu], stdout=subprocess.PIPE, check=True)
    return done.stdout.decode().strip()


def run(path: str, arguments: Iterable[str]) -> dict[str, str]:
    """Run the scenarios on a QEMU, and return what came of each."""
    files = [f"tests/guest/{name}.py" for name in SCENARIOS]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ("-q", "--no-header", "--timeout", "1200", f"--junitxml={report}")
        subprocess.run(
            [sys.executable, "-m", "pytest", *options, *files, *arguments],
            cwd=ROOT,
            env=os.environ | {"QEMU": path},
            check=False,
        )
        return read(ET.parse(report).iter("testcase"))  # noqa: S314 - pytest wrote it


def read(cases: Iterable[ET.Element]) -> dict[str, str]:
    """Return what came of each test case of a JUnit report: a failure outweighs all else."""
    found: dict[str, str] = {}
    for case in cases:
        name = f"{case.attrib['classname'].rpartition('.')[2]}: {case.attrib['name']}"
        if case.find("failure") is not None or case.find("error") is not None:
            found[name] = FAILED
        else:
            skipped = case.find("skipped") is not None
            found.setdefault(name, SKIPPED if skipped else PASSED)
    return found


def table(runs: dict[str, dict[str, str]]) -> str:
    """Return scenario x QEMU x result for people."""
    names = list(dict.fromkeys(name for found in runs.values() for name in found))
    width = max(map(len, names), default=0)
    lines = [" ".join([" " * width, *(f"{version:>9}" for version in runs)])]
    for name in names:
        results = (f"{found.get(name, ''):>9}" for found in runs.values())
        lines.append(" ".join([f"{name:{width}}", *results]))
    return "\n".join(lines)


def main(words: list[str]) -> int:
    """Run all and print the table; return the exit status."""
    cut = words.index("--") if "--" in words else len(words)
    qemus = words[:cut] or [os.environ.get("QEMU") or "qemu-system-x86_64"]
    paths = [path_of(qemu) for qemu in qemus]
    runs = {told(path).split()[0]: run(path, words[cut + 1 :]) for path in paths}
    print(table(runs))  # noqa: T201 - a program
    return int(not all(runs.values()) or any(FAILED in found.values() for found in runs.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
