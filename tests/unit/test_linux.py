"""What is needed to run a real Linux, without running it."""

from __future__ import annotations

import lzma
import shutil
import subprocess
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from linux import initramfs
from linux.initramfs import Linux, archive
from linux.results import read, table


if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Linux:
    """A kernel with modules a-one, which needs b_two, which needs c; c is built in."""
    monkeypatch.setattr(initramfs, "DRIVERS", {"a_one": "x=1"})
    modules = tmp_path / "usr/lib/modules/6.1"
    modules.mkdir(parents=True)
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/vmlinuz-6.1").touch()
    (tmp_path / "usr/bin").mkdir()
    (tmp_path / "usr/bin/busybox").write_bytes(b"busybox itself")
    (modules / "a-one.ko").write_bytes(b"a\0depends=b_two\0")
    (modules / "b_two.ko.xz").write_bytes(lzma.compress(b"b\0depends=c\0"))
    (modules / "modules.builtin").write_text("kernel/c.ko\n")
    return Linux(tmp_path)


def test_modules_come_after_those_they_need(linux: Linux) -> None:
    """Names with - and _ are one, compressed modules are unpacked, those built in are left out."""
    found = linux.initramfs()
    assert b"/modules/b_two.ko \n/modules/a_one.ko x=1\n" in found
    assert b"b\0depends=c\0" in found


def test_a_module_that_is_not_there(linux: Linux, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named: another kernel may lack it."""
    monkeypatch.setattr(initramfs, "DRIVERS", {"d": ""})
    with pytest.raises(AssertionError, match="no module d"):
        linux.initramfs()


def test_archive(tmp_path: Path) -> None:
    """Files have their folders, contents and permissions; a link is one."""
    files = {"init": (0o100755, b"odd"), "a/b/c": (0o100644, b""), "a/link": (0o120777, b"b/c")}
    packed = b"".join(archive(files))
    names = [entry[104:].split(b"\0")[0] for entry in packed.split(b"070701")[1:]]
    assert names == [b"a", b"a/b", b"init", b"a/b/c", b"a/link", b"TRAILER!!!"]
    assert len(packed) % 4 == 0
    if cpio := shutil.which("cpio"):
        subprocess.run([cpio, "-i", "--quiet"], input=packed, cwd=tmp_path, check=True)
        assert (tmp_path / "init").read_bytes() == b"odd"
        assert (tmp_path / "a/link").readlink().name == "c"


REPORT = """<testsuite>
 <testcase classname="tests.guest.power" name="test_a"/>
 <testcase classname="tests.guest.power" name="test_b"><failure/></testcase>
 <testcase classname="tests.guest.power" name="test_c"><skipped/></testcase>
 <testcase classname="tests.guest.power" name="test_d"/>
 <testcase classname="tests.guest.power" name="test_d"><error/></testcase>
</testsuite>"""


def test_results() -> None:
    """A scenario that failed, or could not be set up or cleaned up, has failed in the table."""
    found = read(ET.fromstring(REPORT).iter("testcase"))  # noqa: S314 - it stands above
    assert table({"7.2.1": found}).splitlines() == [
        "                  7.2.1",
        "power: test_a    passed",
        "power: test_b    FAILED",
        "power: test_c  not here",
        "power: test_d    FAILED",
    ]
