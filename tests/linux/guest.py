"""A machine with a Linux in it, which does what it is told on a serial port."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from qmp_exporter.demo import Machine, MachineError


if TYPE_CHECKING:
    from pathlib import Path


PATIENCE: Final = 120.0
"""Seconds for a boot, or a command: many times what they take."""

RECORD: Final = b"\x1e"
"""What stands before an answer that `init` gives."""

BAD_SECTOR: Final = 2048
"""Of the disk: what includes it can be neither read nor written."""

MEMORY: Final = 256 << 20
"""Bytes of the guest, without what is plugged in."""

_ERRORS: Final = "".join(
    f",inject-error.{number}.event=none,inject-error.{number}.iotype={kind}"
    f",inject-error.{number}.sector={BAD_SECTOR}"
    for number, kind in enumerate(("read", "write"))
)

DEVICES: Final = (
    *("-device", "virtio-balloon-pci,id=balloon0"),
    *("-device", "virtio-serial-pci", "-chardev", "null,id=agent"),
    *("-device", "virtserialport,chardev=agent,id=port0,name=org.example.agent"),
    *("-device", "i6300esb", "-device", "pvpanic"),
    *("-blockdev", "driver=null-co,node-name=zeroes,size=16777216,read-zeroes=on"),
    *("-blockdev", f"driver=blkdebug,node-name=disk,image=zeroes{_ERRORS}"),
    *("-device", "virtio-blk-pci,id=disk0,drive=disk,rerror=report,werror=report"),
    *("-blockdev", "driver=null-co,node-name=film,size=16777216,read-zeroes=on,read-only=on"),
    *("-device", "ide-cd,id=cd0,bus=ide.1,drive=film"),
)
"""QEMU's arguments for all that the scenarios need."""


class Guest(Machine):
    """A machine that boots Linux.

    Args:
        directory: as of a machine.
        kernel: the kernel.
        initramfs: made by ``initramfs``.
        args: more arguments of QEMU.
    """

    def __init__(self, directory: Path, kernel: Path, initramfs: Path, *args: str) -> None:
        # Mitigations of the CPU only cost time here; memory can be unplugged where it is movable.
        options = "console=ttyS0 loglevel=6 mitigations=off memhp_default_state=online_movable"
        boot = ("-kernel", str(kernel), "-initrd", str(initramfs), "-append", options)
        ports = (
            *("-chardev", "file,id=log,path=vm.log", "-serial", "chardev:log"),
            *("-chardev", "socket,id=shell,path=vm.shell,server=on,wait=off"),
            *("-serial", "chardev:shell"),
        )
        firmware = ("-bios", "bios-256k.bin", "-m", f"size={MEMORY >> 20}M,slots=4,maxmem=2G", "-S")
        # What QEMU 7.2 makes of cmpxchg16b now and then spoils the flags, and the kernel with them.
        cpu = ("-cpu", "qemu64,-cx16")
        super().__init__(directory, "vm", *firmware, *cpu, *boot, *ports, *args)
        self._shell: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._number = 0
        self._told = False  # something whose answer has not come

    async def start(self) -> None:
        """Start QEMU, and Linux in it; it takes commands when this returns."""
        await super().start()
        self._shell = await asyncio.open_unix_connection(self.directory / "vm.shell")
        await self.execute("cont")
        await self.booted()

    async def booted(self) -> None:
        """Wait until Linux has booted, the first time or once more."""
        await self._answer("ready", "booted")

    async def idle(self) -> bool:
        """Tell whether it runs, and waits for a command."""
        return self.running and not self._told and await self.status() == "running"

    async def run(self, command: str) -> str:
        """Run a command of the shell in the guest, and return what it wrote.

        Raises:
            MachineError: it failed, or the guest went away.
        """
        text, status = await self.tries(command)
        if status:
            raise MachineError(f"{command}: exit status {status}: {text}")
        return text

    async def tries(self, command: str) -> tuple[str, int]:
        """Run a command that may fail; return what it wrote and its exit status."""
        self.tell(command)
        return await self.answer()

    async def answer(self) -> tuple[str, int]:
        """Return what the last command wrote, and its exit status."""
        text, answer = await self._answer(f"{self._number} ", f"command {self._number}")
        return text, int(answer.split()[1])

    def tell(self, command: str) -> None:
        """Have a command run that gives no answer: it ends the guest, or puts it to sleep."""
        assert self._shell is not None
        self._number += 1
        self._told = True
        self._shell[1].write(f"{self._number} {command}\n".encode())

    async def close(self) -> None:
        """End it all."""
        if self._shell is not None:
            self._shell[1].close()
            with suppress(OSError):
                await self._shell[1].wait_closed()
            self._shell = None
        await super().close()

    def log(self) -> str:
        """Return the last that the kernel said."""
        with suppress(FileNotFoundError):
            lines = (self.directory / "vm.log").read_text(errors="replace").splitlines()
            return "\n".join(lines[-40:])
        return ""

    async def _answer(self, begin: str, what: str) -> tuple[str, str]:
        """Read until an answer begins so; return what came directly before it, and the answer."""
        assert self._shell is not None
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    text = await self._shell[0].readuntil(RECORD)
                    answer = (await self._shell[0].readline()).decode(errors="replace")
                    if answer.startswith(begin):
                        self._told = False
                        return text[:-1].decode(errors="replace"), answer
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            message = f"{what}: {type(error).__name__}, the kernel said last:\n{self.log()}"
            raise MachineError(message) from error
