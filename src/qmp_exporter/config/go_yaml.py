"""YAML as Go's yaml.v2 takes it: by that, everyone reads the web configuration file.

It goes by YAML 1.1: ``yes`` and ``on`` are true, ``010`` is 8. Where a text is wanted every scalar
is one, as it is written, and nothing is an empty one. What we do not take, though it does: tags,
merge keys, aliases of lists and mappings, a second document (which it ignores).
Source: go.yaml.in/yaml/v2, resolve.go and decode.go.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import yaml

from qmp_exporter.config.file import TAG, Loader, RefusedError, kept, read
from qmp_exporter.errors import ConfigError


if TYPE_CHECKING:
    from qmp_exporter.config.given import Given


_SCALARS: Final = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    (
        "bool",
        r"y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON|n|N|no|No|NO|false|False|FALSE|off|Off|OFF",
        list("yYtToOnNfF"),
    ),
    (
        "int",
        r"[-+]?(0_*[xX][0-9a-fA-F_]+|0_*[bB][01_]+|0_*[oO]?[0-7_]*|[1-9][0-9_]*)",
        list("-+0123456789"),
    ),
    (
        "float",
        (
            r"[-+]?(\._*[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9][0-9_]*)?"
            r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
        ),
        list("-+.0123456789"),
    ),
)
_MOST: Final = 2**63 - 1
_DURATION: Final = re.compile(r"([-+]?)((?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)[a-z\u00b5\u03bc]+)+)")
_PART: Final = re.compile(r"([0-9.]+)([a-z\u00b5\u03bc]+)")
_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,
    "\u03bcs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}


class _Loader(Loader):
    """Makes the nodes of a file; an alias stands for a scalar."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012
    keys = frozenset({"text", "number", "boolean", "nothing"})

    def process_directives(self) -> Any:
        """Return what stands before ``---``; another version than 1.1 is none that Go takes."""
        found = super().process_directives()  # type: ignore[no-untyped-call]
        version: tuple[int, int] | None = self.yaml_version
        if version not in (None, (1, 1)):
            raise RefusedError(self.peek_token(), "found %YAML of another version; expected 1.1")  # type: ignore[no-untyped-call]
        return found

    def aliased(self, event: yaml.AliasEvent) -> yaml.Node:
        """Return the node that an alias stands for, which cannot make a small file a large one."""
        node = self.anchors.get(event.anchor)
        if not isinstance(node, yaml.ScalarNode):
            raise RefusedError(event, f"found the alias *{event.anchor}; expected one of a scalar")
        self.get_event()  # type: ignore[no-untyped-call]
        return node


for _name, _look, _starts in _SCALARS:
    _Loader.add_implicit_resolver(f"{TAG}{_name}", re.compile(rf"^(?:{_look})$"), _starts)


def read_go(path: str) -> Given:
    """Return what a file says.

    Raises:
        ConfigError: it cannot be read, or is not YAML that we take.
    """
    return read(path, _Loader, kept)


def text(given: Given) -> str:
    """Return a scalar as it is written; nothing is an empty one."""
    if given.form in ("list", "mapping"):
        raise given.wrong("a text")
    return "" if given.form == "nothing" else given.text


def boolean(given: Given) -> bool:
    """Return true or false, which also nothing is."""
    return given.form != "nothing" and given.boolean()


def integer(given: Given) -> int:
    """Return a number, as a whole one of 64 bits; nothing is 0."""
    if given.form == "nothing":
        return 0
    return given.parsed(_integer, "number", "a number")


def nanoseconds(given: Given) -> int:
    """Return a duration such as ``1s`` or ``1h30m``; a number is one of nanoseconds."""
    if given.form != "text":
        return integer(given)
    return given.parsed(_duration, "text")


def _integer(written: str) -> int:
    plain = written.replace("_", "")
    sign, digits = (plain[:1], plain[1:]) if plain[:1] in ("-", "+") else ("", plain)
    octal = re.fullmatch(r"0[0-7]+", digits)
    try:
        value = int(sign + (f"0o{digits[1:]}" if octal else digits), 0)
    except ValueError:
        number = Decimal(plain.lstrip("+")) if plain.lstrip("+-.")[:1].isdigit() else None
        value = int(number) if number is not None and number.adjusted() < 20 else _MOST + 1  # noqa: PLR2004 - digits of 64 bits
    if not -_MOST - 1 <= value <= _MOST:
        raise ConfigError(f"found {written}; expected a number of at most 64 bits")
    return value


def _duration(written: str) -> int:
    found = _DURATION.fullmatch(written)
    parts = _PART.findall(found[2]) if found else []
    wrong = ConfigError(f"found {written!r}; expected a duration such as 100ms, 1s or 1h30m")
    if written in ("0", "+0", "-0"):
        return 0
    if found is None or any(unit not in _UNITS for _, unit in parts):
        raise wrong
    value = sum(int(Decimal(number) * _UNITS[unit]) for number, unit in parts)
    if value > _MOST:
        raise wrong
    return -value if found[1] == "-" else value


def texts(given: Given) -> tuple[str, ...] | None:
    """Return the texts of a list; None for nothing."""
    if given.form == "nothing":
        return None
    if given.form != "list":
        raise given.wrong("a list")
    return tuple(map(text, given.items))


def members(given: Given, *names: str) -> dict[str, Given]:
    """Return the members of a mapping; nothing has none.

    Args:
        given: the mapping.
        names: those that it may have; any, where there are none.
    """
    if given.form == "nothing":
        return {}
    return given.mapping(names or None, f"a mapping of {', '.join(names)}" if names else "")


def of(found: dict[str, Given], name: str, read_: Any, default: Any = None) -> Any:
    """Return what a member is, or a default."""
    return read_(found[name]) if name in found else default
