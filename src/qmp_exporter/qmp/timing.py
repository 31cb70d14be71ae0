"""How long a session waits, and for what."""

from __future__ import annotations

import msgspec


class Timing(msgspec.Struct, frozen=True):
    """Time limits of a session, in seconds.

    Attributes:
        connect: for a monitor to greet and negotiate.
        command: for a command; QEMU's main loop may be busy for seconds.
        disconnect: for a connection to close in order.
        first_retry: before the second attempt; doubled for each further one.
        last_retry: at most this between two attempts.
        busy_retry: between attempts where only dialling tells whether a monitor is free.
        busy_look: between looks at the kernel's table, where that tells it.
        redial: for a QEMU of which no pid is known to dial in again.
        yielding: before a VM that waits for its migration takes a name that both ends have.
        look: between two looks whether a socket is new.
        quiet: without a line, at most, before a VM is asked whether it is there.
        unresponsive: without a line after that question.
        counted: between two questions for what QEMU counts itself, of a VM that says nothing.
        recounted: between two of them at least, of one that says much.
    """

    connect: float = 5.0
    command: float = 10.0
    disconnect: float = 3.0
    first_retry: float = 0.25
    last_retry: float = 30.0
    busy_retry: float = 300.0
    busy_look: float = 5.0
    redial: float = 30.0
    yielding: float = 0.5
    look: float = 1.0
    quiet: float = 15.0
    unresponsive: float = 10.0
    counted: float = 300.0
    recounted: float = 1.0
