"""What can be set, as frozen data, and how its texts are read."""

from __future__ import annotations

import os
import re
from glob import has_magic
from typing import Final

import msgspec

from qmp_exporter.discovery.pattern import Pattern
from qmp_exporter.errors import ConfigError
from qmp_exporter.model.target import Listening, Target


DEFAULT_ADDRESS: Final = ":10767"

_SUN_PATH: Final = 107  # bytes of a unix socket's path: unix(7), without the closing NUL
_DURATION: Final = re.compile(
    r"(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?(?:([0-9]{1,9})ms)?"
)
_PORT: Final = re.compile(r"[0-9]{1,5}")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_UNITS: Final = (3600.0, 60.0, 1.0, 0.001)


class Settings(msgspec.Struct, frozen=True):
    """The settings of one run.

    Attributes:
        targets: monitors to watch, each by its address.
        listen_addresses: where HTTP is served.
        telemetry_path: where the metrics are.
        max_requests: scrapes at a time; 0 for no limit.
        page: whether the landing page shows the VMs.
        process_metrics: whether metrics of the process and of Python are shown.
        vm_grace: seconds that the series of a VM stay after its end.
        label_sets: rows of one metric of one VM that are told apart.
        migration_events: whether QEMU may be told to send MIGRATION events.
        log_level: least level that is logged.
        log_format: ``logfmt`` or ``json``.
        patterns: monitors to look for.
        max_targets: monitors found by pattern or dialling in, at most.
        listeners: sockets at which QEMU dials in.
        max_line: bytes of a line of a monitor.
        max_lines: lines of one monitor in one turn of the event loop.
        max_log_lines: lines of the log in a second.
    """

    targets: tuple[Target, ...] = ()
    listen_addresses: tuple[str, ...] = (DEFAULT_ADDRESS,)
    telemetry_path: str = "/metrics"
    max_requests: int = 40
    page: bool = True
    process_metrics: bool = True
    vm_grace: float = 300.0
    label_sets: int = 256
    migration_events: bool = True
    log_level: str = "info"
    log_format: str = "logfmt"
    patterns: tuple[Pattern, ...] = ()
    max_targets: int = 10_000
    listeners: tuple[Listening, ...] = ()
    max_line: int = 1024 * 1024
    max_lines: int = 256
    max_log_lines: int = 50


def parse_socket(text: str) -> Target | Pattern:
    """Return the monitor that a text names, or the pattern of monitors that it is.

    It is a path, or a glob of paths, if it has a slash, else ``host:port``; ``unix:`` and ``tcp:``
    in front say which.

    Raises:
        ConfigError: it is neither, or a path too long for a unix socket.
    """
    if text.startswith("tcp:") or ("/" not in text and not text.startswith("unix:")):
        address = text.removeprefix("tcp:")
        host, colon, port = address.rpartition(":")
        if not (colon and host and _PORT.fullmatch(port) and 0 < int(port) <= 0xFFFF):  # noqa: PLR2004
            raise ConfigError(
                f"found {text!r}; expected the path of a socket, with a slash in it, or host:port"
            )
        return Target(address, tcp=True)
    if text == "unix:":
        raise ConfigError(f"found {text!r}; expected the path of a socket after it")
    path = os.path.abspath(text.removeprefix("unix:"))  # noqa: PTH100 - links stay as they are
    if has_magic(path):
        return Pattern(path)
    length = len(os.fsencode(path))
    if length > _SUN_PATH:
        raise ConfigError(
            f"found a path of {length} bytes, {text!r}; expected at most {_SUN_PATH},"
            " which is what a unix socket can have"
        )
    return Target(path)


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as ``90s``, ``5m`` or ``1h30m``.

    Raises:
        ConfigError: it is not one.
    """
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        raise ConfigError(f"found {text!r}; expected a duration such as 90s, 5m or 1h30m")
    parts = zip(found.groups(), _UNITS, strict=True)
    return sum(int(number or 0) * unit for number, unit in parts)


def parse_number(text: str) -> int:
    """Return a whole number of at most nine digits that is not negative.

    Raises:
        ConfigError: it is not one.
    """
    if not _NUMBER.fullmatch(text):
        raise ConfigError(f"found {text!r}; expected a whole number, 0 to 999999999")
    return int(text)
