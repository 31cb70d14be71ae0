"""What is said of platforms agrees with itself, and the units for systemd are sound."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest

from qmp_exporter.config.flags import FLAGS
from support import require_tool


ROOT: Final = Path(__file__).parents[2]
README: Final = (ROOT / "README.md").read_text()
PAGE: Final = (ROOT / "docs/platforms.md").read_text()
HOWTO: Final = {"libvirt": "libvirt", "Proxmox VE": "proxmox", "Incus": "incus"}
"""Platforms that have a page of their own."""
UNITS: Final = ROOT / "deploy/systemd"

PLATFORMS: Final = (
    *("plain QEMU", "systemd", "libvirt", "Proxmox VE", "Incus", "LXD", "KubeVirt"),
    *("microvm.nix", "OpenStack Nova"),
)
WITHOUT: Final = {"KubeVirt", "OpenStack Nova"}
"""Platforms for which there is no line."""

SOCKET: Final = re.compile(r"unix:/[^\s'\"`]+")
EXPOSURE: Final = 20
"""What `systemd-analyze security` may find, times ten; it calls up to 2.0 safe enough: OK."""


def rows() -> dict[str, str]:
    """Return the lines of the README's table, by platform."""
    section = README.partition("\n## Platforms\n")[2].partition("\n## ")[0]
    found = re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|", section, re.MULTILINE)
    return dict(found[2:])  # without the head


def section(platform: str) -> str:
    """Return what the page says of a platform, and the page of its own."""
    title = platform[0].upper() + platform[1:] if platform == "plain QEMU" else platform
    _, head, text = PAGE.partition(f"\n## {title}\n")
    assert head, title
    found = text.partition("\n## ")[0]
    if name := HOWTO.get(platform):
        assert f"(howto/{name}.md)" in found
        found += (ROOT / f"docs/howto/{name}.md").read_text()
    return found


def test_the_table_names_every_platform() -> None:
    """In the order in which they are told of."""
    assert tuple(rows()) == PLATFORMS


@pytest.mark.parametrize("platform", PLATFORMS)
def test_table_and_page_agree(platform: str) -> None:
    """The line of the table is on the page, and the page says what was tried."""
    found = SOCKET.findall(rows()[platform])
    assert bool(found) == (platform not in WITHOUT)
    assert [line for line in found if line not in section(platform)] == []
    assert re.match(r"\n(Tried here|Not tried here)\b", section(platform))


def as_arguments(platform: str, line: str) -> list[str]:
    """Take a line apart as its platform does; return the arguments that QEMU gets."""
    if platform == "libvirt":
        return [arg.attrib["value"] for arg in ET.fromstring(f"<x>{line}</x>")]  # noqa: S314 - ours
    if platform == "microvm.nix":
        return re.findall(r'"([^"]*)"', line)
    if platform in {"Proxmox VE", "Incus", "LXD"}:
        return shlex.split(shlex.split(line)[-1].removeprefix("raw.qemu="))
    return line.split()


@pytest.mark.parametrize("platform", [name for name in PLATFORMS if name not in WITHOUT])
def test_a_platform_passes_two_arguments(platform: str) -> None:
    """Quotes are where the platform needs them: QEMU gets -qmp and a socket."""
    option, socket = as_arguments(platform, rows()[platform].strip("`"))
    assert option == "-qmp"
    assert SOCKET.fullmatch(socket)


def test_the_elements_for_libvirt_are_whole() -> None:
    """Each block is XML in libvirt's namespace, with one argument in each element."""
    blocks = re.findall(r"```xml\n(.*?)```", section("libvirt"), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        root = ET.fromstring(block)  # noqa: S314 - ours
        space = "{http://libvirt.org/schemas/domain/qemu/1.0}"
        assert root.tag == f"{space}commandline"
        assert [child.tag for child in root] == [f"{space}arg"] * 2
        assert [child.attrib["value"].partition(":")[0] for child in root] == ["-qmp", "unix"]


def test_every_link_within_the_page_leads_somewhere() -> None:
    """A heading stands behind every anchor that the README or the page names."""
    titles = re.findall(r"^##+ (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    named = re.findall(r"\(#([\w-]+)\)", PAGE) + re.findall(r"platforms\.md#([\w-]+)", README)
    assert named
    assert set(named) <= anchors


def test_every_flag_is_one() -> None:
    """No flag of the exporter is named that it does not have."""
    known = {flag.name for flag in FLAGS}
    text = "".join(map(section, PLATFORMS)) + PAGE
    named = set(re.findall(r"--(?:qmp|listen|web|log|vm|limits)\.[a-z-]+", text))
    assert named - known == set()


# Units


def environment(unit: str) -> dict[str, str]:
    """Return the variables that a unit sets."""
    return dict(re.findall(r"^Environment=(\w+)=(.*)$", unit, re.MULTILINE))


def test_the_variables_of_the_unit_are_flags() -> None:
    """A misspelt variable would be passed over in silence."""
    text = "".join(path.read_text() for path in UNITS.iterdir())
    known = {flag.variable for flag in FLAGS}
    assert set(re.findall(r"QMP_EXPORTER_\w+", text)) - known == set()


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with programs that are there; the example is that of the machine web."""
    for path in (*UNITS.glob("*.service"), *UNITS.glob("*.socket")):
        text = re.sub(
            r"^(Exec\w+=)/\S+", rf"\1{sys.executable}", path.read_text(), flags=re.MULTILINE
        )
        (tmp_path / path.name.replace("@.", "@web.")).write_text(text)
    return tmp_path


def test_systemd_understands_the_units(units: Path) -> None:
    """Each is parsed without a word."""
    analyze = require_tool("systemd-analyze")
    for path in sorted(units.iterdir()):
        done = subprocess.run(
            [analyze, "verify", "--man=no", path], capture_output=True, text=True, check=False
        )
        said = [line for line in done.stderr.splitlines() if path.name in line]
        assert (done.returncode, said) == (0, []), done.stderr


def test_the_exporter_is_locked_in(units: Path) -> None:
    """What systemd still finds exposed stays within the bound."""
    command = [require_tool("systemd-analyze"), "security", "--offline=true", "--no-pager"]
    done = subprocess.run(
        [*command, f"--threshold={EXPOSURE}", units / "qmp-exporter.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_users_of_the_units_are_made() -> None:
    """systemd-sysusers knows every user and group under which a unit runs."""
    made = (UNITS / "qmp-exporter.sysusers").read_text()
    for path in UNITS.glob("*.service"):
        for name in re.findall(r"^(?:User|Group)=(.*)$", path.read_text(), re.MULTILINE):
            assert re.search(rf"^u {name} ", made, re.MULTILINE), f"{path.name}: {name}"
    done = subprocess.run(
        [require_tool("systemd-sysusers"), "--dry-run", UNITS / "qmp-exporter.sysusers"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "qmp-exporter.sysusers" not in done.stderr, "a line that is wrong, with its number"
