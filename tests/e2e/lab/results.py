"""Runs all scenarios on several QEMUs, and keeps what came of it: scripts/qemus [GENERATION]...

What is kept, in docs/qemus.json, is what docs/events.md says of the QEMUs; a test holds it to the
scenarios that there are. Where a scenario fails, nothing is kept.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from e2e.lab.generation import told


if TYPE_CHECKING:
    from collections.abc import Iterable


GENERATIONS: Final = ("7.2", "10.0", "11.1")
"""What scripts/qemu can unpack."""

ROOT: Final = Path(__file__).parents[3]
KEPT: Final = ROOT / "docs/qemus.json"
SHOWN: Final = "shown"
APART: Final = "not on QEMU "


@dataclass
class Run:
    """What came of all scenarios on one QEMU.

    Attributes:
        version: of the QEMU, as it says itself.
        passed: scenarios, as ``FILE::NAME``, once for each set of parameters.
        failed: the same.
        skipped: the same, each with its reason.
        claims: the events that scenarios say they show.
    """

    version: str
    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    claims: dict[str, set[str]] = field(default_factory=dict)

    @property
    def apart(self) -> dict[str, str]:
        """The scenarios that do not apply to this QEMU, and why."""
        return {
            name: why.removeprefix(APART).partition(": ")[2]
            for name, why in self.skipped.items()
            if why.startswith(APART)
        }

    def read(self, cases: Iterable[ET.Element]) -> None:
        """Take the test cases of a JUnit report."""
        for case in cases:
            file = f"{case.attrib['classname'].rpartition('.')[2]}.py"
            name = f"{file}::{case.attrib['name'].partition('[')[0]}"
            skipped = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed.append(name)
            elif skipped is not None:
                self.skipped[name] = skipped.attrib["message"]
            else:
                self.passed.append(name)
            for found in case.iter("property"):
                if found.attrib["name"] == "shows":
                    self.claims.setdefault(found.attrib["value"], set()).add(name)

    def result(self, event: str) -> str:
        """Return whether an event was ``shown``, and if not, why."""
        names = self.claims[event]
        if names & set(self.failed):
            return "FAILED"
        if names & set(self.passed):
            return SHOWN
        return "; ".join(sorted({(self.skipped | self.apart)[name] for name in names}))


def run(qemu: str) -> Run:
    """Run all scenarios on a QEMU."""
    found = Run(told(qemu))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ("-q", "-p", "no:cacheprovider", "--ignore-glob=*/test_browser*")
        subprocess.run(
            [sys.executable, "-m", "pytest", *options, f"--junitxml={report}", "tests/e2e"],
            cwd=ROOT,
            env=os.environ | {"QEMU": qemu},
            check=False,
        )
        found.read(ET.parse(report).iter("testcase"))  # noqa: S314 - pytest wrote it
    return found


def kept(runs: dict[str, Run], before: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of all QEMUs; what is known of those that did not run now stays."""
    scenarios: dict[str, set[str]] = {}
    qemus: dict[str, Any] = dict(before.get("qemus", {}))
    for generation, one in runs.items():
        for event, names in one.claims.items():
            scenarios.setdefault(event, set()).update(names)
        events = {event: one.result(event) for event in sorted(one.claims)}
        apart = dict(sorted(one.apart.items()))
        qemus[generation] = {"version": one.version, "events": events, "apart": apart}
    return {
        "scenarios": {event: sorted(names) for event, names in sorted(scenarios.items())},
        "qemus": {name: qemus[name] for name in GENERATIONS if name in qemus},
    }


def table(runs: dict[str, Run]) -> str:
    """Return event x QEMU x result for people, and which scenarios do not apply, and why."""
    lines = [f"{'event':26}" + "".join(f"{generation:>8}" for generation in runs)]
    events = sorted({event for one in runs.values() for event in one.claims})
    for event in events:
        results = [one.result(event) for one in runs.values()]
        cells = [result if result in {SHOWN, "FAILED"} else "-" for result in results]
        lines.append(f"{event:26}" + "".join(f"{cell:>8}" for cell in cells))
    for generation, one in runs.items():
        count = f"{len(one.passed)} passed, {len(one.failed)} failed, {len(one.skipped)} skipped"
        lines += ["", f"QEMU {generation}, {one.version}: {count}"]
        lines += [f"  FAILED {name}" for name in one.failed]
        lines += [f"  skipped {name}: {why}" for name, why in sorted(one.skipped.items())]
    return "\n".join(lines)


def main(generations: list[str]) -> int:
    """Run, print and keep; return the exit status."""
    runs = {}
    for generation in generations or GENERATIONS:
        unpacked = subprocess.run(
            [ROOT / "scripts/qemu", generation], stdout=subprocess.PIPE, text=True, check=False
        )
        if unpacked.returncode:
            return unpacked.returncode
        runs[generation] = run(unpacked.stdout.strip())
    print(table(runs))
    if any(one.failed for one in runs.values()):
        return 1
    before = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    KEPT.write_text(json.dumps(kept(runs, before), indent=1) + "\n")
    print(f"\nkept in {KEPT.relative_to(ROOT)}; scripts/docs makes docs/events.md of it")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
