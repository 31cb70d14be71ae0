"""The wheels of the lock: which ones, from where, and what they say of themselves."""
# ruff: noqa: INP001, S603

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from email.message import Message


ROOT: Final = Path(__file__).parents[2]
LOCK: Final = ROOT / "requirements/run.txt"
PYTHON: Final = "3.11"
"""The Python of Debian 12."""

TARGET: Final = (
    *("--only-binary", ":all:", "--python-version", PYTHON, "--implementation", "cp"),
    *("--abi", "cp311", "--abi", "abi3", "--abi", "none"),
    *("--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_28_x86_64"),
    *("--platform", "manylinux_2_17_x86_64"),
)
"""What runs there, as pip's options; Debian 12 has glibc 2.36."""

LICENCES: Final = {
    "aiosignal": "Apache-2.0",
    "protobuf": "BSD-3-Clause",
    "qemu-qmp": "LGPL-2.0-or-later AND GPL-2.0-only",  # the second is legacy.py, which is not used
}
"""Of those that do not say it in the words of SPDX."""


@dataclass(frozen=True)
class Wheel:
    """One of them.

    Attributes:
        path: where it is.
        name: as an index has it: small letters, digits and ``-``.
        version: its version.
        licence: an SPDX expression.
        sha256: its hash.
        needs: names of what it may need, without those of extras; ours are all in the lock.
        info: its folder of metadata, from the root of site-packages.
        tops: what it puts into site-packages, apart from that.
    """

    path: Path
    name: str
    version: str
    licence: str
    sha256: str
    needs: tuple[str, ...]
    info: str
    tops: tuple[str, ...]

    @property
    def purl(self) -> str:
        """Its name among all packages of the world."""
        return f"pkg:pypi/{self.name}@{self.version}"


def canonical(name: str) -> str:
    """Return the name of a package as an index has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(lock: str) -> str:
    """Return a lock without what is only there to build with."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    tools = {_name(one) for one in groups["build"]}
    entries = re.split(r"^(?=\S)", lock, flags=re.MULTILINE)
    return "".join(entry for entry in entries if entry.strip() and _name(entry) not in tools)


def download(wanted: str, folder: Path) -> None:
    """Have pip put the wheels of a lock into a folder, from its index."""
    lock = folder / "lock.txt"
    lock.write_text(wanted)
    pip("download", "-q", "--no-deps", "--require-hashes", *TARGET, "-d", folder, "-r", lock)


def install(wanted: str, folder: Path, target: Path) -> None:
    """Have pip install a lock from a folder of wheels, and from nowhere else."""
    lock = folder / "all.txt"
    lock.write_text(wanted)
    options = ("--no-deps", "--require-hashes", "--no-compile", "--isolated", "--no-index")
    options += ("--root-user-action", "ignore", *TARGET)
    pip("install", "-q", *options, "--find-links", folder, "--target", target, "-r", lock)


def pip(*arguments: str | Path) -> None:
    """Run pip."""
    command = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")
    subprocess.run([*command, *arguments], check=True)


def read(path: Path) -> Wheel:
    """Return what a wheel says of itself.

    Raises:
        ValueError: it does not say its licence in a way that is understood.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        info = next(name.split("/")[0] for name in names if name.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(f"{info}/METADATA").decode())
    name = canonical(metadata["Name"])
    ours = name == "qmp-exporter"
    said = metadata.get_all("Requires-Dist", ())
    needs = [one for one in said if ours or "extra ==" not in one]
    return Wheel(
        path=path,
        name=name,
        version=metadata["Version"],
        licence=_licence(name, metadata),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        needs=tuple(sorted({_name(one) for one in needs})),
        info=info,
        tops=tuple(sorted({name.split("/")[0] for name in names} - {info})),
    )


def _name(requirement: str) -> str:
    return canonical(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0])


def _licence(name: str, metadata: Message) -> str:
    said = LICENCES.get(name) or metadata["License-Expression"] or metadata["License"] or ""
    if not re.fullmatch(r"[A-Za-z0-9.+-]+( (AND|OR) [A-Za-z0-9.+-]+)*", said):
        raise ValueError(f"licence of {name}: found {said!r}, expected one of SPDX: add it here")
    return said
