"""The scripts and the lock files: what a person and a machine run, from nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support import require_tool


ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file())
LOCKS = {"run": ["build"], "dev": ["dev"]}
"""Each lock, with the dependency groups it holds beside the project's own dependencies."""

FAKE_PYTHON = """\
#!/bin/sh
echo "$*" >>"$CALLS"
case "$1 ${2:-}" in
"-V ") echo "Python 3.11.0" ;;
"-c "*) echo "$0" ;;
"-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
"-m pip") [ -z "${BROKEN:-}" ] ;;
esac
"""
"""A Python that writes down what it is asked, and makes environments that do the same."""

OLD_PYTHON = """\
#!/bin/sh
case $1 in -V) echo "Python 3.10.9" && exit ;; esac
exec '{}' -c "import sys; sys.version_info = (3, 10, 9)
$2"
"""


def requirements(lock: str) -> list[str]:
    """Return the entries of a lock file, each on one line, without comments."""
    text = (ROOT / f"requirements/{lock}.txt").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def pins(lock: str) -> dict[str, str]:
    """Return the version of each package in a lock file."""
    parsed = [Requirement(line.partition(" --hash")[0].strip()) for line in requirements(lock)]
    return {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in parsed}


def group(groups: dict[str, list[str | dict[str, str]]], name: str) -> list[str]:
    """Return a dependency group with those it includes."""
    found: list[str] = []
    for entry in groups[name]:
        found += [entry] if isinstance(entry, str) else group(groups, entry["include-group"])
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_place(lock: str) -> None:
    """A lock says what is installed, never from where: each person's pip decides that."""
    text = (ROOT / f"requirements/{lock}.txt").read_text()
    assert not re.search(
        r"://|\bfile:|@|^\s*-(?!-hash)|\.(?:org|com|net|io|dev)\b", text, re.MULTILINE
    )


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_is_pinned_and_hashed(lock: str) -> None:
    """Every package of a lock has one exact version and the hashes of its files."""
    assert requirements(lock)
    for line in requirements(lock):
        assert re.fullmatch(r"[a-z0-9-]+==[^ *]+( ; .+?)?( +--hash=sha256:[0-9a-f]{64})+", line)


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_covers_the_project(lock: str) -> None:
    """Each dependency that pyproject.toml names is locked to a version it allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = list(project["project"]["dependencies"])
    for name in LOCKS[lock]:
        wanted += group(project["dependency-groups"], name)
    locked = pins(lock)
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        assert name in locked, f"{name} is not locked: run scripts/lock"
        assert requirement.specifier.contains(locked[name], prereleases=True)


def test_dev_lock_holds_the_run_lock() -> None:
    """What is tested is what runs: the development lock has the same versions and more."""
    assert pins("run").items() <= pins("dev").items()


@pytest.mark.parametrize("script", [*SCRIPTS, ROOT / ".ci/run"], ids=lambda path: path.name)
def test_script_is_sound(script: Path) -> None:
    """Each script can be started as it is, is short of surprises, and says what it is for."""
    first, second, *_ = script.read_text().splitlines()
    assert os.access(script, os.X_OK)
    assert first == ("#!/usr/bin/env bash" if script.parent.name == ".ci" else "#!/bin/sh")
    assert second.startswith("# ")
    checked = subprocess.run(
        [require_tool("shellcheck"), "-x", script], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_ci_runs_the_test_script() -> None:
    """A change is judged by the one command that a person runs, and nothing is set beside it."""
    commands = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line[:1] != "#"]
    assert commands == ['exec "$(dirname -- "$0")/../scripts/test"']


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout, in a folder with a space, that has the scripts and nothing else."""
    root = tmp_path / "my checkout"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    (root / "requirements").mkdir()
    (root / "requirements/run.txt").write_text("one==1\n")
    (root / "pyproject.toml").write_text("")
    (tmp_path / "bin").mkdir()
    for name in ("cat", "cksum", "cp", "dirname", "find", "id", "mkdir", "sh"):
        (tmp_path / "bin" / name).symlink_to(require_tool(name))
    python = tmp_path / "bin/python3"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    return root


def run(script: Path, *arguments: str, **env: str) -> tuple[int, str, str]:
    """Run a script with no other programs than those of the checkout; return code and outputs."""
    bin_ = script.parents[2] / "bin"
    done = subprocess.run(
        [script, *arguments],
        env={"PATH": str(bin_), "CALLS": str(bin_ / "calls"), **env},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def calls(checkout: Path) -> list[str]:
    """Return what the fake Python was asked since the last call of this function."""
    log = checkout.parent / "bin/calls"
    text = log.read_text()
    log.write_text("")
    return [line for line in text.splitlines() if line.startswith("-m")]


def test_setup_works_once(checkout: Path) -> None:
    """The first set-up makes and fills the environment; the second does nothing, silently."""
    setup = checkout / "scripts/setup"
    assert run(setup, "run")[0] == 0
    made, *filled = calls(checkout)
    assert made == "-m venv .venv"
    assert [" ".join(call.split()[4:6]) for call in filled] == [
        "install --require-hashes",
        "install --no-index",
    ]
    assert run(setup, "run") == (0, "", "")
    assert calls(checkout) == []


@pytest.mark.parametrize("changed", ["requirements/run.txt", "pyproject.toml"])
def test_setup_follows_the_lock(checkout: Path, changed: str) -> None:
    """When what .venv was made of changes, it is filled again, but not made again."""
    setup = checkout / "scripts/setup"
    run(setup, "run")
    calls(checkout)
    (checkout / changed).write_text("two==2\n")
    assert run(setup, "run")[0] == 0
    assert any("install" in call for call in calls(checkout))
    assert "making" not in run(setup, "run")[2]


def test_setup_starts_over_when_interrupted(checkout: Path) -> None:
    """A set-up that did not come to its end is not trusted: the next one begins anew."""
    setup = checkout / "scripts/setup"
    assert run(setup, "run", BROKEN="yes")[0] == 1
    calls(checkout)
    (checkout / ".venv/leftover").touch()
    assert run(setup, "run")[0] == 0
    assert calls(checkout)[0] == "-m venv .venv"
    assert not (checkout / ".venv/leftover").exists()


def test_setup_notices_a_move(checkout: Path) -> None:
    """An environment holds its own path, so a checkout that was moved gets a new one."""
    run(checkout / "scripts/setup", "run")
    calls(checkout)
    moved = checkout.rename(checkout.with_name("moved here"))
    assert run(moved / "scripts/setup", "run")[0] == 0
    assert calls(moved)[0] == "-m venv .venv"


def test_setup_wants_a_new_python(checkout: Path) -> None:
    """Without Python 3.11 there is one line that says what was found, and no environment."""
    old = checkout.parent / "bin/python3.10"
    old.write_text(OLD_PYTHON.format(sys.executable))
    old.chmod(0o755)
    for python, found in {"python3.10": "Python 3.10.9", "python3.99": "no python3.99"}.items():
        code, out, err = run(checkout / "scripts/setup", "run", PYTHON=python)
        assert (code, out) == (1, "")
        assert err.startswith(f"scripts/setup: Python 3.11 or later is needed, found {found}: ")
        assert err.count("\n") == 1
        assert not (checkout / ".venv").exists()


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
@pytest.mark.parametrize("wanted", ["promtool:prometheus", "promtool=prometheus"])
def test_setup_names_a_missing_program(checkout: Path, wanted: str, ci: str, code: int) -> None:
    """A program that cannot be had is named with its package: at home a warning, in CI the end."""
    setup = checkout / "scripts/setup"
    run(setup, "run")
    message = "scripts/setup: promtool is missing: install the package prometheus\n"
    assert run(setup, "run", wanted, CI=ci) == (code, "", message)


@pytest.mark.parametrize(
    ("arguments", "handed", "wanted"),
    [
        ([], "demo", "run qemu-system-x86_64=qemu-system-x86"),
        (["demo"], "demo", "run qemu-system-x86_64=qemu-system-x86"),
        (["demo", "--replay"], "demo|--replay", "run"),
        (["--qmp.socket", "/a b/*"], "--qmp.socket|/a b/*", "run"),
    ],
)
def test_run_becomes_the_exporter(
    checkout: Path, arguments: list[str], handed: str, wanted: str
) -> None:
    """scripts/run hands its arguments over as they are; only the demo asks for a QEMU."""
    (checkout / ".venv/bin").mkdir(parents=True)
    exporter = checkout / ".venv/bin/qmp-exporter"
    exporter.write_text('#!/bin/sh\nIFS="|"; echo "$*"\n')
    exporter.chmod(0o755)
    (checkout / "scripts/setup").write_text('#!/bin/sh\necho "$*" >&2\n')
    assert run(checkout / "scripts/run", *arguments) == (0, f"{handed}\n", f"{wanted}\n")
