"""Builds what a release is: wheel, sdist, package for Debian 12, and the list of what is in it.

scripts/package runs it, and says where the time comes from that all files get.
"""
# ruff: noqa: INP001, T201

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

import wheels
from flit_core import buildapi
from sbom import bom

import package
from qmp_exporter import __version__


def main(folder: Path) -> None:
    """Write everything into a folder, and print what it is."""
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    folder.mkdir(exist_ok=True)
    for pattern in ("*.whl", "*.tar.gz", "*.deb", "*.cdx.json"):
        for old in folder.glob(f"qmp[_-]exporter[_-][0-9]{pattern}"):
            old.unlink()
    own = wheels.read(folder / buildapi.build_wheel(str(folder)))
    source = folder / buildapi.build_sdist(str(folder))
    with tempfile.TemporaryDirectory() as work:
        house = Path(work, "wheels")
        house.mkdir()
        wanted = wheels.requirements(wheels.LOCK.read_text())
        wheels.download(wanted, house)
        others = [wheels.read(path) for path in sorted(house.glob("*.whl"))]
        (house / own.path.name).symlink_to(own.path.resolve())
        wanted += f"{own.name}=={own.version} --hash=sha256:{own.sha256}\n"
        debian = package.build(Path(work, "tree"), folder, wanted, (own, *others), epoch)
    listed = folder / f"qmp-exporter-{__version__}.cdx.json"
    listed.write_text(json.dumps(bom(own, others, epoch), indent=2) + "\n")
    for path in (own.path, source, debian, listed):
        content = path.read_bytes()
        print(f"{hashlib.sha256(content).hexdigest()}  {path} ({len(content) / 1024:.0f} KiB)")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
