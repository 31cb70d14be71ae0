"""What is kept of several QEMUs is of the scenarios that there are."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from e2e.lab import results
from e2e.lab.results import GENERATIONS, KEPT, SHOWN, Run
from spec_examples import SPEC_EVENTS


if TYPE_CHECKING:
    from collections.abc import Iterator


ROOT: Final = Path(__file__).parents[2]
E2E: Final = ROOT / "tests/e2e"


@pytest.fixture
def known() -> dict[str, Any]:
    """What is kept."""
    return json.loads(KEPT.read_text())  # type: ignore[no-any-return]


def claims(function: Any) -> Iterator[str]:
    """Yield the events that a test says it shows, in all of its sets of parameters."""
    marks = list(getattr(function, "pytestmark", ()))
    for mark in tuple(marks):
        if mark.name == "parametrize":
            marks += [m for given in mark.args[1] for m in getattr(given, "marks", ())]
    for mark in marks:
        if mark.name == "shows":
            yield from mark.args


def scenarios() -> dict[str, set[str]]:
    """Return the scenarios of each event, as they stand in the tests."""
    found: dict[str, set[str]] = {}
    for file in E2E.glob("test_*.py"):
        if "shows(" in file.read_text():
            module = importlib.import_module(f"e2e.{file.stem}")
            for name, function in vars(module).items():
                for event in claims(function):
                    found.setdefault(event, set()).add(f"{file.name}::{name}")
    return found


def test_every_event_has_scenarios_that_there_are(known: dict[str, Any]) -> None:
    """All 24 events have one, and what is kept names those that stand in the tests, all of them."""
    assert scenarios().keys() >= SPEC_EVENTS
    kept = {event: set(names) for event, names in known["scenarios"].items()}
    assert kept == scenarios(), "run scripts/qemus, then scripts/docs"


def test_every_event_has_a_result_on_every_qemu(known: dict[str, Any]) -> None:
    """Each was shown, or it is said why not; on one QEMU at least it was."""
    assert list(known["qemus"]) == list(GENERATIONS)
    for generation, qemu in known["qemus"].items():
        assert qemu["version"].startswith(f"{generation}.")
        assert qemu["events"].keys() == known["scenarios"].keys()
        assert all(qemu["events"].values())
    for event in SPEC_EVENTS:
        found = [qemu["events"][event] for qemu in known["qemus"].values()]
        assert SHOWN in found
        assert "FAILED" not in found


REPORT: Final = """
<testsuite>
 <testcase classname="tests.e2e.test_a" name="test_one[x]"><properties>
  <property name="shows" value="STOP"/></properties></testcase>
 <testcase classname="tests.e2e.test_a" name="test_two"><properties>
  <property name="shows" value="STOP"/><property name="shows" value="RESET"/></properties>
  <skipped type="pytest.skip" message="not on QEMU 11.1.3 (Debian 1:1): it was removed: why"/>
 </testcase>
 <testcase classname="tests.e2e.test_a" name="test_three"><skipped message="no tool"/></testcase>
 <testcase classname="tests.e2e.test_a" name="test_four"><properties>
  <property name="shows" value="RESUME"/></properties><error message="gone"/></testcase>
</testsuite>
"""


@pytest.fixture
def read() -> Run:
    """A run of which something failed and something does not apply."""
    run = Run("11.1.3 (Debian 1:1)")
    run.read(ET.fromstring(REPORT).iter("testcase"))  # noqa: S314 - it stands above
    return run


def test_a_run_is_read(read: Run) -> None:
    """An event is shown by a scenario that passed; else the reason is kept, or the failure."""
    assert (read.passed, read.failed) == (["test_a.py::test_one"], ["test_a.py::test_four"])
    assert read.apart == {"test_a.py::test_two": "it was removed: why"}
    found = {event: read.result(event) for event in ("STOP", "RESET", "RESUME")}
    assert found == {"STOP": SHOWN, "RESET": "it was removed: why", "RESUME": "FAILED"}
    text = results.table({"11.1": read})
    assert "RESET                            -" in text
    assert "FAILED test_a.py::test_four" in text
    assert "skipped test_a.py::test_three: no tool" in text


def test_a_generation_that_did_not_run_stays(read: Run) -> None:
    """One can be run alone."""
    before = {"scenarios": {}, "qemus": {"7.2": {"version": "7.2.22"}}}
    after = results.kept({"11.1": read}, before)
    assert list(after["qemus"]) == ["7.2", "11.1"]
    assert after["scenarios"]["STOP"] == ["test_a.py::test_one", "test_a.py::test_two"]


def script(home: Path, *arguments: str, programs: Path | None = None) -> tuple[int, str, str]:
    """Run scripts/qemu with a cache of its own; programs come first on the PATH."""
    path = os.environ["PATH"] if programs is None else f"{programs}:{os.environ['PATH']}"
    done = subprocess.run(
        [ROOT / "scripts/qemu", *arguments],
        env={"PATH": path, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_qemu_that_there_is_not(tmp_path: Path) -> None:
    """The script says which there are."""
    for arguments, found in ((("8.2",), "8.2"), ((), "nothing")):
        code, out, err = script(tmp_path, *arguments)
        assert (code, out) == (2, "")
        assert (
            err == f"scripts/qemu: found {found}, expected {', '.join(GENERATIONS[:2])} or 11.1\n"
        )


def test_a_qemu_that_is_unpacked_is_named(tmp_path: Path) -> None:
    """Nothing is downloaded then: the path is all."""
    place = tmp_path / ".cache/qmp-exporter/qemu/11.1"
    place.mkdir(parents=True)
    (place / "qemu-system-x86_64").touch(mode=0o755)
    assert script(tmp_path, "11.1") == (0, f"{place}/qemu-system-x86_64\n", "")


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    """A folder of programs, whose apt-get knows the mirror in the file "mirror", and no more.

    What it is asked stands in the file "calls".
    """
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "dpkg-deb").symlink_to("/bin/false")
    (programs / "apt-get").write_text(
        f'#!/bin/sh\ncd {tmp_path}\necho "$*" >>calls\n[ "$1" = indextargets ] && cat mirror\n'
    )
    (programs / "apt-get").chmod(0o755)
    return programs


def test_nothing_of_the_system_is_touched(tmp_path: Path, apt: Path) -> None:
    """It has folders of its own for apt, and its own lists of sources and packages."""
    (tmp_path / "mirror").write_text("http://mirror.invalid/debian\n")
    code, out, _ = script(tmp_path, "10.0", programs=apt)
    assert (code != 0, out) == (True, "")
    asked, update = (tmp_path / "calls").read_text().splitlines()
    assert asked.startswith("indextargets ")  # which only tells
    cache = tmp_path / ".cache/qmp-exporter/qemu"
    for setting in ("Etc::SourceList", "State", "State::Lists", "State::Status", "Cache"):
        assert f" -o Dir::{setting}={cache}/10.0." in update
    assert list(cache.iterdir()) == []


def test_a_machine_that_has_no_mirror_of_debian(tmp_path: Path, apt: Path) -> None:
    """It is told what to name, nothing is downloaded, and nothing half made stays."""
    (tmp_path / "mirror").touch()
    code, out, err = script(tmp_path, "10.0", programs=apt)
    assert (code != 0, out) == (True, "")
    assert "MIRROR has to name a mirror of Debian\n" in err
    assert len((tmp_path / "calls").read_text().splitlines()) == 1
    assert list((tmp_path / ".cache/qmp-exporter/qemu").iterdir()) == []
