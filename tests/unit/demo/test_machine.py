"""What can be said about machines and their arguments without a QEMU."""

from __future__ import annotations

import os
import subprocess
import sys
from errno import ENOSPC
from typing import TYPE_CHECKING

import pytest

from qmp_exporter.demo import Machine, MachineError, disks, find_qemu, leash
from qmp_exporter.demo.command import halt_rom


if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a.b", "a,b", "*", "ä"])
def test_name_must_be_plain(tmp_path: Path, name: str) -> None:
    """A name that would be something else in a path or on QEMU's command line is refused."""
    with pytest.raises(ValueError, match="name of a machine"):
        Machine(tmp_path, name)


async def test_long_path_is_refused(tmp_path: Path) -> None:
    """A path that no client could dial is an error that says so."""
    with pytest.raises(MachineError, match="too long for a socket"):
        await Machine(tmp_path / ("x" * 108), "vm").start()


async def test_machine_not_started(tmp_path: Path) -> None:
    """Before it is started a machine has no process, and says so; to close it is no error."""
    machine = Machine(tmp_path, "vm")
    assert not machine.running
    for use in (lambda: machine.pid, lambda: machine.qtest):
        with pytest.raises(MachineError, match="vm: not started"):
            use()
    with pytest.raises(MachineError, match="vm: not started"):
        await machine.execute("stop")
    await machine.close()


async def test_closing_removes_only_its_own_files(tmp_path: Path) -> None:
    """The files of a machine begin with its name and a dot; others stay."""
    for name in ("vm.rom", "vm.dump", "vm2.rom", "vm"):
        (tmp_path / name).touch()
    await Machine(tmp_path, "vm").close()
    left = {name for name in ("vm.rom", "vm.dump", "vm2.rom", "vm") if (tmp_path / name).exists()}
    assert left == {"vm", "vm2.rom"}


def test_find_qemu_obeys_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable QEMU names the program, as a path or a name; a missing one is None."""
    monkeypatch.setenv("QEMU", sys.executable)
    assert find_qemu() == sys.executable
    monkeypatch.setenv("QEMU", "no-such-program")
    assert find_qemu() is None


def test_halt_rom_halts_at_the_reset_vector() -> None:
    """64 KiB that end at 4 GiB, with cli and hlt where an x86 CPU starts."""
    rom = halt_rom()
    assert len(rom) == 64 << 10
    assert rom[-16:-12] == b"\xfa\xf4\xeb\xfd"


def test_fault_becomes_options_of_blkdebug() -> None:
    """Each fault is one rule of its own number."""
    faults = disks.Fault("read", sector=8, once=True), disks.Fault("write", ENOSPC)
    (debug,) = [a for a in disks.ide_disk("disk0", *faults) if "driver=blkdebug" in a]
    assert debug == (
        "node-name=disk0-bad,driver=blkdebug,image=disk0-image,"
        "inject-error.0.event=none,inject-error.0.iotype=read,inject-error.0.errno=5,"
        "inject-error.0.sector=8,inject-error.0.once=on,"
        "inject-error.1.event=none,inject-error.1.iotype=write,inject-error.1.errno=28"
    )


def leashed(parent: int, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the leash."""
    arguments = [sys.executable, "-I", "-S", leash.__file__, str(parent), *command]
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


def test_leash_becomes_the_program() -> None:
    """The program gets its arguments, and its exit status is ours."""
    done = leashed(os.getpid(), "sh", "-c", "echo $1; exit 3", "sh", "hello")
    assert (done.stdout, done.returncode) == ("hello\n", 3)


def test_leash_refuses_another_parent() -> None:
    """Where the parent is gone, the program is not started."""
    done = leashed(1, "echo", "hello")
    assert (done.stdout, done.returncode) == ("", 1)
    assert "echo: not started, the parent process 1 is gone" in done.stderr


def test_leash_names_a_missing_program() -> None:
    """A program that cannot be run is named in one line."""
    done = leashed(os.getpid(), "/nonexistent/qemu")
    assert done.stderr == "/nonexistent/qemu: No such file or directory\n"
