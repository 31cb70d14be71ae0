"""The package for Debian 12: a tree of files, and dpkg-deb."""
# ruff: noqa: INP001, S603

from __future__ import annotations

import csv
import gzip
import hashlib
import os
import re
import shutil
import subprocess
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Final

import manual
import wheels


if TYPE_CHECKING:
    from collections.abc import Sequence

    from wheels import Wheel


HERE: Final = Path(__file__).parent
ROOT: Final = wheels.ROOT
MAINTAINER: Final = "The maintainers of qmp-exporter <qmp-exporter@maintainers.invalid>"
"""There is no address yet: RFC 2606 keeps that domain from being anybody's."""

SCRIPTS: Final = ("postinst", "prerm", "postrm")
NEXT_PYTHON: Final = "3.12"
HOME: Final = "usr/lib/qmp-exporter"
SITE: Final = f"{HOME}/lib/python{wheels.PYTHON}/site-packages"
UNITS: Final = "lib/systemd/system"
"""Of Debian 12, which does not want units in /usr yet."""

PROGRAM: Final = f"""\
#!/{HOME}/bin/python3 -I
# -I: nobody's PYTHONPATH, and nothing from the working directory.
import sys

from qmp_exporter.cli import main

sys.exit(main())
"""
VENV: Final = f"""\
home = /usr/bin
include-system-site-packages = false
version = {wheels.PYTHON}
"""


def build(tree: Path, dist: Path, wanted: str, found: Sequence[Wheel], epoch: int) -> Path:
    """Write the package to a folder.

    Args:
        tree: where the files are gathered.
        dist: the folder.
        wanted: a lock of all wheels, ours included, that lie in one folder.
        found: these wheels, ours first.
        epoch: the time of all files.
    """
    own, *others = found
    version = f"{re.sub(r'(?<=[0-9])[.]?(?=a|b|rc|dev)', '~', own.version)}-1"
    _environment(tree, wanted, tree.parent / "wheels")
    _system(tree)
    _documents(tree, version, others, epoch)
    _control(tree, version)
    programs = {tree / HOME / "bin/qmp-exporter", *(tree / "DEBIAN" / name for name in SCRIPTS)}
    for path in (tree, *sorted(tree.rglob("*"))):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path in programs else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)
    result = dist / f"qmp-exporter_{version}_amd64.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--threads-max=1", "--build", tree, result]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return result


def _environment(tree: Path, wanted: str, house: Path) -> None:
    """Make what `python3 -m venv` makes, without anything of this machine in it."""
    site = tree / SITE
    wheels.install(wanted, house, site)
    shutil.rmtree(site / "bin")  # with the Python of this machine in each first line
    for record in site.glob("*.dist-info/RECORD"):
        with record.open(newline="") as file:
            rows = [row for row in csv.reader(file) if (site / row[0]).exists()]
        with record.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    _write(tree / HOME / "pyvenv.cfg", VENV)
    _write(tree / HOME / "bin/qmp-exporter", PROGRAM)
    (tree / HOME / "bin/python3").symlink_to(f"../../../bin/python{wheels.PYTHON}")
    (tree / "usr/bin").mkdir()
    (tree / "usr/bin/qmp-exporter").symlink_to("../lib/qmp-exporter/bin/qmp-exporter")


def _system(tree: Path) -> None:
    """Put in the units, the user and the file of variables."""
    units = ROOT / "deploy/systemd"
    service = (units / "qmp-exporter.service").read_text()
    service, changed = re.subn(
        r"(?m)^(ExecStart=)\S*/bin/qmp-exporter\b", r"\1/usr/bin/qmp-exporter", service
    )
    if changed != 1:
        raise ValueError(f"qmp-exporter.service: found {changed} ExecStart=, expected 1")
    _write(tree / UNITS / "qmp-exporter.service", service)
    _write(tree / UNITS / "qmp-exporter.socket", (units / "qmp-exporter.socket").read_text())
    users = (units / "qmp-exporter.sysusers").read_text().splitlines(keepends=True)
    _write(
        tree / "usr/lib/sysusers.d/qmp-exporter.conf",
        "".join(line for line in users if line.startswith("u qmp-exporter ")),
    )
    _write(tree / "etc/default/qmp-exporter", (HERE / "qmp-exporter.default").read_text())
    examples = tree / "usr/share/doc/qmp-exporter/examples"
    for name in ("qemu@.service", "qmp-exporter.sysusers"):
        _write(examples / name, (units / name).read_text())


def _documents(tree: Path, version: str, others: Sequence[Wheel], epoch: int) -> None:
    """Put in what is to be read."""
    folder = tree / "usr/share/doc/qmp-exporter"
    for path in (ROOT / "README.md", ROOT / "SECURITY.md", *sorted(ROOT.glob("docs/*.md"))):
        _write(folder / path.name, path.read_text())
    _write(folder / "examples/qmp-exporter.yml", (ROOT / "docs/qmp-exporter.yml").read_text())
    _write(folder / "copyright", _copyright(others))
    _compress(folder / "changelog.gz", (ROOT / "CHANGELOG.md").read_text())
    upstream = version.removesuffix("-1")
    changelog = (
        f"qmp-exporter ({version}) bookworm; urgency=medium\n\n"
        f"  * Version {upstream}: changelog.gz tells of it.\n\n"
        f" -- {MAINTAINER}  {formatdate(epoch)}\n"
    )
    _compress(folder / "changelog.Debian.gz", changelog)
    _compress(tree / "usr/share/man/man1/qmp-exporter.1.gz", manual.page(epoch))
    overrides = (HERE / "lintian-overrides").read_text()
    _write(tree / "usr/share/lintian/overrides/qmp-exporter", overrides)


def _copyright(others: Sequence[Wheel]) -> str:
    """Return whose everything is, in the form that Debian reads (DEP-5)."""
    parts = [(HERE / "copyright").read_text()]
    for wheel in others:
        files = [f"{SITE}/{top}" for top in (*wheel.tops, wheel.info)]
        parts.append(
            f"Files: {chr(10).join(f' {name}*' for name in files).strip()}\n"
            f"Copyright: the authors of {wheel.name} {wheel.version}\n"
            f"License: {wheel.licence.replace(' AND ', ' and ')}\n"
            f" The text, and who they are, is in /{SITE}/{wheel.info},\n"
            " or in /usr/share/common-licenses.\n"
        )
    return "\n".join(parts)


def _control(tree: Path, version: str) -> None:
    """Put in what dpkg reads."""
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    sums = [f"{_md5(path)}  {path.relative_to(tree)}\n" for path in files]
    size = sum(path.lstat().st_size // 1024 + 1 for path in tree.rglob("*"))
    folder = tree / "DEBIAN"
    control = (
        (HERE / "control")
        .read_text()
        .format(
            version=version,
            maintainer=MAINTAINER,
            size=size,
            python=wheels.PYTHON,
            next_python=NEXT_PYTHON,
        )
    )
    _write(folder / "control", control)
    _write(folder / "md5sums", "".join(line for line in sums if "  etc/" not in line))
    _write(folder / "conffiles", "/etc/default/qmp-exporter\n")
    for name in SCRIPTS:
        _write(folder / name, (HERE / name).read_text())


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _compress(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
