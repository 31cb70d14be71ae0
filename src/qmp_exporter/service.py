"""What the service manager is told: sd_notify(3), without its library.

Where nobody asked to be told, nothing is.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import MutableMapping


log = logging.getLogger(__name__)

PATIENCE: Final = 1.0
"""Seconds for the service manager to take a message."""


class Service:
    """The service that this process is.

    Args:
        environment: the process's; what is in it for this process alone is taken out, so that no
            other one speaks for us.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")
        limit = environment.pop("WATCHDOG_USEC", "")
        pid = environment.pop("WATCHDOG_PID", "") or str(os.getpid())
        watched = limit.isascii() and limit.isdigit() and pid == str(os.getpid())
        # Half of it, as sd_watchdog_enabled(3) recommends.
        self.interval = int(limit) / 2e6 if watched and self._address else 0.0
        self._alive_at = float("-inf")
        self._status = ""

    def ready(self) -> None:
        """It serves; or it has read its configuration again, with or without success."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """It reads its configuration; ``ready`` ends that."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """It ends."""
        self._tell("STOPPING=1")

    def status(self, text: str) -> None:
        """Say in a line how it is; nothing is sent if that was said before."""
        if text != self._status:
            self._status = text
            self._tell(f"STATUS={text}")

    def alive(self, now: float) -> None:
        """All of it works at ``now``, in monotonic seconds; sent as often as the watchdog wants."""
        if self.interval and now - self._alive_at >= self.interval:
            self._alive_at = now
            self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        # Other kinds of addresses are of virtual machines whose host manages them.
        if not self._address.startswith(("/", "@")):
            return
        address = self._address.replace("@", "\0", 1) if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(PATIENCE)
            try:
                sock.sendto("\n".join(lines).encode(), address)
            except OSError as error:
                log.debug("the service manager cannot be told %s: %s", lines[0], error)
