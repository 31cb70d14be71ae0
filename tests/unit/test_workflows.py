"""What runs on GitHub is what a person runs, with few rights and nothing that moves under it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml


ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
PINNED = r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+"


def parsed(path: Path) -> dict[str, Any]:
    """Return a workflow."""
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def commands(path: Path) -> list[str]:
    """Return all that a workflow runs."""
    jobs = parsed(path)["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def used(path: Path) -> list[str]:
    """Return each action that a workflow uses, as its line has it."""
    return re.findall(r"^\s*(?:- )?uses: *(.*)$", path.read_text(), re.MULTILINE)


def test_there_is_one_for_each() -> None:
    """Lint, test, image, chart and release are there, each calls the script that it is for."""
    scripts = {"lint": "lint", "test": "test", "image": "image", "chart": "chart"}
    scripts["release"] = "package"
    assert {path.stem for path in FILES} == scripts.keys()
    for path in FILES:
        assert any(f"scripts/{scripts[path.stem]}" in one for one in commands(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scripts_exist(path: Path) -> None:
    """A workflow calls no script that is not there."""
    called = {name for one in commands(path) for name in re.findall(r"\bscripts/[\w-]+", one)}
    assert called
    for name in called:
        assert os.access(ROOT / name, os.X_OK), name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_actions_are_pinned(path: Path) -> None:
    """An action is named by the hash of a commit, and beside it stands which version that is."""
    for name in used(path):
        assert re.fullmatch(PINNED, name), name


def test_one_version_of_an_action() -> None:
    """No workflow has another version of an action than the others."""
    pins = {name for path in FILES for name in used(path)}
    assert len(pins) == len({name.partition("@")[0] for name in pins})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_rights_and_limits(path: Path) -> None:
    """Nothing is allowed but to each job what it says, and nothing runs for ever, or twice."""
    workflow = parsed(path)
    assert workflow["permissions"] == {}
    assert "group" in workflow["concurrency"]
    for job in workflow["jobs"].values():
        assert 0 < job["timeout-minutes"] <= 60
        rights = set(job["permissions"].items())
        if path.stem != "release":
            assert rights == {("contents", "read")}
        assert "pull_request_target" not in path.read_text()


def test_only_tags_may_write() -> None:
    """A job that may write anything runs for a tag alone."""
    for job in parsed(ROOT / ".github/workflows/release.yml")["jobs"].values():
        if "write" in job["permissions"].values():
            assert job["if"].partition(" && ")[0] == "github.ref_type == 'tag'"
