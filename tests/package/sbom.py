"""The list of what is in the package."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from package.conftest import ROOT, run


if TYPE_CHECKING:
    from package.conftest import Dist


LOCK = (ROOT / "requirements/run.txt").read_text()

VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read()))
"""


@pytest.fixture
def listed(dist: Dist) -> dict[str, Any]:
    """The list."""
    found: dict[str, Any] = json.loads(dist.sbom.read_text())
    return found


def test_schema(dist: Dist, tools: Path) -> None:
    """CycloneDX's own validator, at its strictest, has nothing to say."""
    assert run(tools / "python", "-c", VALIDATE, dist.sbom).strip() == "None"


def test_lock(listed: dict[str, Any]) -> None:
    """Each component has the version of the lock and the hash of one of its files."""
    for one in listed["components"]:
        entry = re.search(
            rf"^{re.escape(one['name'])}=={re.escape(one['version'])} .*\n(?:    .*\n)*",
            LOCK,
            re.MULTILINE,
        )
        assert entry, one["name"]
        assert f"sha256:{one['hashes'][0]['content']}" in entry[0]


def test_against_the_tool(listed: dict[str, Any], tools: Path, tmp_path: Path) -> None:
    """cyclonedx-bom finds the same packages in the lock, and flit-core, which only builds."""
    made = tmp_path / "tool.json"
    run(tools / "cyclonedx-py", "requirements", ROOT / "requirements/run.txt", "-o", made)
    theirs = {one["purl"] for one in json.loads(made.read_text())["components"]}
    ours = {one["purl"] for one in listed["components"]}
    assert {purl.partition("@")[0] for purl in theirs - ours} == {"pkg:pypi/flit-core"}
    assert ours <= theirs


def test_is_what_is_in_the_package(listed: dict[str, Any], dist: Dist) -> None:
    """Every distribution in the package is on the list, with its version, and no other."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "-x", dist.deb, folder], check=True)
        site = Path(folder, "usr/lib/qmp-exporter/lib/python3.11/site-packages")
        found = {
            path.name.removesuffix(".dist-info").replace("_", "-").lower()
            for path in site.glob("*.dist-info")
        }
    components = [listed["metadata"]["component"], *listed["components"]]
    assert found == {f"{one['name']}-{one['version']}" for one in components}


def test_dependencies(listed: dict[str, Any]) -> None:
    """Everything on the list is there because something else needs it."""
    needs = {one["ref"]: one["dependsOn"] for one in listed["dependencies"]}
    reached, waiting = set(), [listed["metadata"]["component"]["bom-ref"]]
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += needs[ref]
    assert reached == needs.keys()


def test_wheel_is_ours(listed: dict[str, Any], dist: Dist) -> None:
    """What the list is of is the wheel beside it, whose name and version it has."""
    own = listed["metadata"]["component"]
    with zipfile.ZipFile(dist.wheel) as archive:
        assert f"qmp_exporter-{own['version']}.dist-info/METADATA" in archive.namelist()
