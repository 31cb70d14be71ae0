"""The rules of the house that a program can hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


ROOT = Path(__file__).parents[2]
MOST_LINES = 400


def test_the_import_contracts_are_kept() -> None:
    """Packages import only what pyproject.toml lets them."""
    found = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout


def test_no_module_is_long() -> None:
    """A module has at most 400 lines."""
    sources = (ROOT / "src").rglob("*.py")
    long = {p.name: n for p in sources if (n := len(p.read_text().splitlines())) > MOST_LINES}
    assert long == {}


def test_the_gpl_part_of_qemu_qmp_is_not_imported() -> None:
    """qemu.qmp.legacy, which is GPL-2.0-only, is in no module of the package."""
    code = "import qmp_exporter.app, qmp_exporter.demo.run, sys; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "qemu.qmp.qmp_client" in found.stdout.split()
    assert "qemu.qmp.legacy" not in found.stdout.split()


def test_what_most_do_without_is_not_in_memory() -> None:
    """An exporter without a file has neither YAML nor bcrypt loaded."""
    code = (
        "import sys; from qmp_exporter.app import App; from qmp_exporter.config.settings import"
        " Settings; App(Settings()); print(*sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "qmp_exporter.web.application" in found.stdout.split()
    assert {"yaml", "bcrypt"}.isdisjoint(found.stdout.split())
