"""How the texts of settings are read, and written again.

Every ``parse_*`` raises ConfigError where the text is wrong; its message says what was found and
what was expected. Paths that are not absolute start in ``base``, a folder, and where that is empty
in the working directory.
"""

from __future__ import annotations

import glob
import math
import os
import re
from typing import Final

from qmp_exporter.discovery.pattern import Pattern
from qmp_exporter.errors import ConfigError
from qmp_exporter.model.target import Target


MONITOR: Final = r"^(unix:.|(?!tcp:).*/|(tcp:)?[^/]+:[0-9]{1,5}$)"
"""The form of a monitor's text. This and the other forms mean the same in a JSON Schema."""

PATH: Final = r"^(unix:.|(?!tcp:).*/)"
"""The form of a path: it has a slash, or ``unix:`` in front."""

ADDRESS: Final = r"^(unix:.|[^/]*:[0-9]{1,5}$)"
TELEMETRY_PATH: Final = r"^/[^{}?#% ]*$"
DURATION: Final = r"^(?!$)([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?$"
SIZE: Final = r"^([0-9]{1,10}|[0-9]{1,7}[KMG]iB)$"
MODE: Final = r"^0?[0-7]{3}$"
OWNER: Final = r"^(?!-)[^\s:/]{1,256}$"

SPEED: Final = r"^[0-9]{1,6}(\.[0-9]{1,6})?$"

LINES: Final = (1 << 16, 1 << 30)
"""Bytes of a line that can be set; fewer would cut answers such as that of query-block."""

MOST: Final = 999_999_999
"""The greatest number that can be set."""

SUN_PATH: Final = 107
"""Bytes of a unix socket's path, see unix(7), without the closing NUL."""

_UNITS: Final = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_SIZES: Final = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10}
_PORT: Final = re.compile(r"[0-9]{1,5}")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_DURATION: Final = re.compile(DURATION)
_SIZE: Final = re.compile(SIZE)
_MODE: Final = re.compile(MODE)
_OWNER: Final = re.compile(OWNER)
_LAST_ID: Final = 2**32 - 2  # of a user or group: the one above means none, see chown(2)


def absolute(path: str, base: str = "", *, globbed: bool = False) -> str:
    """Return a path as an absolute one; links stay as they are.

    Args:
        path: which.
        base: the folder in which it starts.
        globbed: the path is a glob, and the folder is none, whatever its name.
    """
    if not os.path.isabs(path):  # noqa: PTH117 - a text all the way
        try:
            folder = base or os.getcwd()  # noqa: PTH109 - a text all the way
        except OSError:
            raise ConfigError(
                f"found {path!r} in a working directory that is gone; expected an absolute path"
            ) from None
        path = os.path.join(glob.escape(folder) if globbed else folder, path)  # noqa: PTH118
    return os.path.normpath(path)


def parse_socket(text: str, base: str = "") -> Target | Pattern:
    """Return the monitor that a text names, or the pattern of monitors that it is.

    It is a path, or a glob of paths, if it has a slash, else ``host:port``; ``unix:`` and ``tcp:``
    in front say which.
    """
    if text.startswith("tcp:") or ("/" not in text and not text.startswith("unix:")):
        address = text.removeprefix("tcp:")
        host, colon, port = address.rpartition(":")
        named = host and "/" not in host
        if not (colon and named and _PORT.fullmatch(port) and 0 < int(port) <= 0xFFFF):  # noqa: PLR2004
            raise ConfigError(
                f"found {text!r}; expected the path of a socket, with a slash in it, or host:port"
            )
        return Target(address, tcp=True)
    path = _socket_path(text, base, globbed=True)
    if glob.has_magic(path):
        return Pattern(path)
    return Target(_short(path))


def parse_listener(text: str, base: str = "") -> str:
    """Return the path of a socket at which QEMU dials in."""
    if not re.match(PATH, text):
        raise ConfigError(f"found {text!r}; expected the path of a socket, with a slash in it")
    path = _socket_path(text, base)
    if glob.has_magic(path):
        raise ConfigError(f"found {text!r}; expected the path of one socket, not a glob of paths")
    return _short(path)


def parse_address(text: str, base: str = "") -> str:
    """Return an address of the HTTP side; if it is a path, an absolute one."""
    # Imported here: --version and --help are quick without HTTP.
    from qmp_exporter.web.address import UnixAddress, parse_address  # noqa: PLC0415

    address = parse_address(text)
    if isinstance(address, UnixAddress):
        text = f"unix:{absolute(address.path, base)}"
        parse_address(text)
    return text


def parse_path(text: str, base: str = "") -> str:
    """Return the path of a file as an absolute one, or nothing for none."""
    if "\0" in text:
        raise ConfigError(f"found {text!r}; expected a path that a file can have")
    return absolute(text, base) if text else text


def parse_telemetry_path(text: str) -> str:
    """Return the path of the metrics."""
    from qmp_exporter.web.application import check_telemetry_path  # noqa: PLC0415

    check_telemetry_path(text)
    return text


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as ``90s``, ``5m`` or ``1h30m``."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ConfigError(f"found {text!r}; expected a duration such as 90s, 5m or 1h30m")
    parts = ((part, unit) for part, unit in zip(found.groups(), _UNITS, strict=True) if part)
    return sum(int(part.removesuffix(unit)) * _UNITS[unit] for part, unit in parts) / 1000


def show_duration(seconds: float) -> str:
    """Return the text of a duration."""
    rest, text = round(seconds * 1000), ""
    for unit, size in _UNITS.items():
        number, rest = divmod(rest, size)
        text += f"{number}{unit}" if number else ""
    return text or "0s"


def parse_number(text: str) -> int:
    """Return a whole number of at most nine digits that is not negative."""
    if not _NUMBER.fullmatch(text):
        raise ConfigError(f"found {text!r}; expected a whole number, 0 to {MOST}")
    return int(text)


def parse_count(text: str) -> int:
    """Return a whole number of at most nine digits that is not 0."""
    if not _NUMBER.fullmatch(text) or not int(text):
        raise ConfigError(f"found {text!r}; expected a whole number, 1 to {MOST}")
    return int(text)


def parse_size(text: str) -> int:
    """Return the bytes of a line's length: ``65536``, ``64KiB`` or ``1MiB``."""
    number, unit = (text[:-3], text[-3:]) if text[-3:] in _SIZES else (text, "")
    size = int(number) * _SIZES.get(unit, 1) if _SIZE.fullmatch(text) else 0
    if not LINES[0] <= size <= LINES[1]:
        raise ConfigError(f"found {text!r}; expected a size of 64KiB to 1GiB, such as 1MiB")
    return size


def show_size(size: int) -> str | int:
    """Return a size with the greatest unit of which it is a multiple."""
    for unit, bytes_ in _SIZES.items():
        if size % bytes_ == 0:
            return f"{size // bytes_}{unit}"
    return size


def parse_mode(text: str) -> int:
    """Return the permissions of a socket: ``0600`` or ``660``."""
    if not _MODE.fullmatch(text):
        raise ConfigError(f"found {text!r}; expected permissions such as 0600 or 0660")
    return int(text, 8)


def show_mode(mode: int) -> str:
    """Return permissions as four octal digits."""
    return f"{mode:04o}"


def parse_owner(text: str) -> str:
    """Return the name or number of a user or group; whether there is one is not asked."""
    number = text if text.isdecimal() and text.isascii() else "0"
    if not _OWNER.fullmatch(text) or int(number) > _LAST_ID:
        raise ConfigError(f"found {text!r}; expected a name, or a number up to {_LAST_ID}")
    return text


def parse_group(text: str) -> str:
    """Return the name or number of a group, or nothing for the exporter's own."""
    return parse_owner(text) if text else text


def _socket_path(text: str, base: str, *, globbed: bool = False) -> str:
    path = text.removeprefix("unix:")
    if not path:
        raise ConfigError(f"found {text!r}; expected the path of a socket after it")
    return absolute(path, base, globbed=globbed)


def _short(path: str) -> str:
    try:
        length = len(os.fsencode(path))
    except UnicodeEncodeError:
        length = 0
    if not length or "\0" in path:
        raise ConfigError(f"found {path!r}; expected a path that a file can have")
    if length > SUN_PATH:
        raise ConfigError(
            f"found a path of {length} bytes, {path!r}; expected at most {SUN_PATH},"
            " which is what a unix socket can have"
        )
    return path


def parse_speed(text: str) -> float:
    """Return how many times as fast as it was; ``max`` is infinite."""
    if text == "max":
        return math.inf
    if not re.fullmatch(SPEED, text) or not float(text):
        raise ConfigError(f"found {text!r}; expected a number above 0 such as 10 or 0.5, or max")
    return float(text)
