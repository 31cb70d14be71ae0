"""QEMU's command line, for a machine that has a CPU and memory and halts at once."""

from __future__ import annotations

import os
import shutil


def find_qemu() -> str | None:
    """Return the path of QEMU: what the variable ``QEMU`` names, else ``qemu-system-x86_64``."""
    return shutil.which(os.environ.get("QEMU") or "qemu-system-x86_64")


def halt_rom() -> bytes:
    """Return 64 KiB of firmware that stops the CPU where it starts.

    An x86 CPU starts 16 bytes below the end: there stand ``cli``, ``hlt`` and, for an NMI that
    wakes it, a jump back to the ``hlt``. All the rest is ``hlt``, too.
    """
    rom = bytearray(b"\xf4" * 0x10000)
    rom[0xFFF0:0xFFF4] = b"\xfa\xf4\xeb\xfd"
    return bytes(rom)


def arguments(name: str, *, uuid: str | None, monitor: str, control: int, qtest: int) -> list[str]:
    """Return the arguments that every machine gets.

    Paths are relative to the working directory: a socket's path may not exceed 107 bytes.
    Source: QEMU's docs/system/qemu-manpage.rst.

    Args:
        name: of the machine and of its ROM, ``NAME.rom``.
        uuid: of the machine, if it has one.
        monitor: what follows ``-qmp``, for the exporter.
        control: file descriptor, inherited, of the lab's own monitor.
        qtest: the same for the guest's ports and memory. QEMU insists on this name of it.
    """
    return [
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-machine", "pc", "-accel", "tcg", "-m", "64"),
        *("-bios", f"{name}.rom", "-name", name),
        *(("-uuid", uuid) if uuid else ()),
        *("-chardev", f"socket,id=control,fd={control}", "-qmp", "chardev:control"),
        *("-chardev", f"socket,id=qtest,fd={qtest}", "-qtest", "chardev:qtest"),
        *("-qtest-log", "/dev/null"),
        *("-qmp", monitor),
    ]
