"""The lab: a real QEMU without a guest, and things that happen to it.

``qmp-exporter demo`` tells its story with the modules below, and the end-to-end tests stand on
them. They use only the standard library, and nothing of the exporter.

========== =========================================================================
channel    the two line protocols that drive QEMU: QMP and qtest
command    QEMU's command line
machine    one QEMU, from start to the last file removed
disks      disks that fail on request, and quorum
devices    watchdog, panic, clock, balloon, memory slots, serial ports
operations migrations and memory dumps
rfb        a small VNC client
steps      what can happen to a machine of the demo
story      two machines, and what happens to them during the demo
leash      starts a program that dies with its parent
========== =========================================================================

`replay` and `captures` need no QEMU: they are a monitor that repeats recorded events.
"""

from __future__ import annotations

from qmp_exporter.demo.channel import CommandError, LabError
from qmp_exporter.demo.command import find_qemu
from qmp_exporter.demo.machine import Machine, MachineError


__all__ = ["CommandError", "LabError", "Machine", "MachineError", "find_qemu"]
