"""A Linux that is small: a kernel, the drivers for QEMU's devices, and busybox.

`scripts/guest` unpacks the packages; here they become what QEMU boots. Sources: the kernel's
Documentation/driver-api/early-userspace/buffer-format.rst for the archive.
"""

from __future__ import annotations

import lzma
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import Iterator


DRIVERS: Final = {
    "virtio_pci": "",
    "virtio_balloon": "",
    "virtio_console": "",
    "virtio_blk": "",
    "virtio_net": "",
    "virtio_mem": "",
    "ata_piix": "",
    "sr_mod": "",
    "pvpanic-mmio": "",
    "i6300esb": "heartbeat=2",
    "button": "",
    "evdev": "",
}
"""Modules by name, each with its parameters; what they depend on is found."""

POWER_BUTTON: Final = "etc/acpi/PWRF/00000080"
"""What busybox' acpid runs when the button is pressed."""

APPLETS: Final = (
    *(
        "sh",
        "mount",
        "insmod",
        "stty",
        "acpid",
        "basename",
        "date",
        "dd",
        "dmesg",
        "grep",
        "hwclock",
        "ip",
    ),
    *("ls", "poweroff", "reboot", "sleep"),
)
"""Commands of busybox: those that init and the scenarios use."""

EXECUTABLE, LINK = 0o100755, 0o120777
"""Types and permissions of files, see inode(7)."""


class Linux:
    """What `scripts/guest` has unpacked.

    Attributes:
        kernel: what QEMU's ``-kernel`` takes.
    """

    def __init__(self, folder: Path) -> None:
        (self.kernel,) = folder.glob("boot/vmlinuz-*")
        (self._modules,) = folder.glob("usr/lib/modules/*")
        self._busybox = folder / "usr/bin/busybox"

    def initramfs(self) -> bytes:
        """Return what QEMU's ``-initrd`` takes."""
        loaded: dict[str, bytes] = {}
        for name in DRIVERS:
            self._load(name, loaded)
        load = "".join(f"/modules/{name}.ko {DRIVERS.get(name, '')}\n" for name in loaded)
        files: dict[str, tuple[int, bytes]] = {
            "init": (EXECUTABLE, (Path(__file__).parent / "init").read_bytes()),
            "bin/busybox": (EXECUTABLE, self._busybox.read_bytes()),
            **{f"bin/{applet}": (LINK, b"busybox") for applet in APPLETS},
            **{f"modules/{name}.ko": (EXECUTABLE, content) for name, content in loaded.items()},
            "modules/load": (EXECUTABLE, load.encode()),
            POWER_BUTTON: (EXECUTABLE, b"#!/bin/sh\npoweroff -f\n"),
            "proc": (0o040755, b""),
            "sys": (0o040755, b""),
            "dev": (0o040755, b""),
        }
        return b"".join(archive(files))

    def _load(self, name: str, loaded: dict[str, bytes]) -> None:
        """Put a module behind those that it depends on; those built in are none."""
        if name in loaded:
            return
        pattern = re.sub("[-_]", "[-_]", name)
        found = next(self._modules.rglob(f"{pattern}.ko*"), None)
        if found is None:
            built_in = (self._modules / "modules.builtin").read_text()
            assert re.search(f"/{pattern}[.]ko$", built_in, re.MULTILINE), f"no module {name}"
            return
        content = found.read_bytes()
        if found.suffix == ".xz":
            content = lzma.decompress(content)
        for needed in re.findall(rb"\0depends=([^\0]*)\0", content)[0].decode().split(","):
            if needed:
                self._load(needed, loaded)
        loaded[name] = content


def archive(files: dict[str, tuple[int, bytes]]) -> Iterator[bytes]:
    """Yield a cpio archive in the format newc, with the folders that its files need."""
    folders = (
        {str(folder) for name in files for folder in Path(name).parents} - {"."} - files.keys()
    )
    entries = dict.fromkeys(sorted(folders), (16877, b"")) | files
    for inode, (name, (mode, content)) in enumerate([*entries.items(), ("TRAILER!!!", (0, b""))]):
        fields = [inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        yield padded(header + name.encode() + b"\0") + padded(content)


def padded(data: bytes) -> bytes:
    """Fill up to a multiple of four bytes."""
    return data + bytes(-len(data) % 4)
