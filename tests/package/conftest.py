"""What the tests of packages share: what scripts/package wrote, and tools of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from apart.table import show


ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Dist:
    """What scripts/package wrote."""

    wheel: Path
    sdist: Path
    deb: Path
    sbom: Path

    def all(self) -> list[Path]:
        """Return everything."""
        return [self.wheel, self.sdist, self.deb, self.sbom]


def written(folder: Path) -> Dist:
    """Return what is in a folder; each is there once."""
    found = []
    for pattern in ("_*.whl", "-*.tar.gz", "_*.deb", "-*.cdx.json"):
        (one,) = folder.glob(f"qmp[-_]exporter{re.sub('^[-_]', '[-_][0-9]', pattern)}")
        found.append(one)
    return Dist(*found)


@pytest.fixture(scope="session")
def dist() -> Dist:
    """What scripts/package wrote into dist/."""
    return written(ROOT / "dist")


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs from PyPI that the project itself does not need."""
    folder = tmp_path_factory.mktemp("tools")
    run(sys.executable, "-m", "venv", folder)
    wanted = ("uv", "pipx", "cyclonedx-bom~=7.5", "cyclonedx-python-lib[json-validation]")
    run(folder / "bin/pip", "install", "-q", *wanted)
    frozen = run(folder / "bin/pip", "freeze").splitlines()
    names = ("uv", "pipx", "cyclonedx-bom")
    versions = dict(line.split("==") for line in frozen if line.split("==")[0] in names)
    show("tools from PyPI", **{name.replace("-", "_"): it for name, it in versions.items()})
    return folder / "bin"


def run(*command: str | Path, cwd: Path | None = None, **env: str) -> str:
    """Run a command; return what it wrote to stdout."""
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
