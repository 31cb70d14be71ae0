"""How the values of OpenTelemetry's environment variables are read.

Source: open-telemetry/opentelemetry-specification, configuration/sdk-environment-variables.md. It
would have a value that is none be ignored; that would send telemetry elsewhere than was meant, and
so it is an error here. An empty variable is as good as none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from qmp_exporter.errors import ConfigError


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeVar

    T = TypeVar("T")

MOST: Final = 2**31 - 1
"""The greatest number: the specification asks for no more."""

FOREVER: Final = 86_400.0
"""Seconds that stand for no limit."""

_NUMBER: Final = re.compile(r"[0-9]{1,10}")
_RATIO: Final = re.compile(r"[0-9]*\.?[0-9]+([eE]-?[0-9]{1,3})?|[0-9]+\.")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_FIELD: Final = re.compile(r"[\x20-\x7e\t]*")
_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Variables:
    """The environment.

    Args:
        environment: the process's.

    Attributes:
        remarks: what may not be meant as it is written.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.remarks: list[str] = []

    def text(self, *names: str) -> tuple[str, str]:
        """Return the first of these variables that is set, and its text; "" where none is."""
        for name in names:
            if text := self._environment.get(name, "").strip():
                return name, text
        return names[0], ""

    def words(self, name: str) -> str:
        """Return a text that is sent; "" where it is not set.

        Raises:
            ConfigError: it is not UTF-8.
        """
        _, text = self.text(name)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"{name}: found {text!r}; expected UTF-8") from None
        return text

    def boolean(self, *names: str) -> bool:
        """Return true for ``true``, as the specification has it, and nothing else."""
        name, text = self.text(*names)
        if text.lower() not in ("", "true", "false"):
            self.remarks.append(f"{name}: found {text!r}, which counts as false; true is `true`")
        return text.lower() == "true"

    def number(self, default: int, *names: str, least: int = 0) -> int:
        """Return a whole number.

        Raises:
            ConfigError: it is none, or less than ``least``.
        """
        return self._read(names, lambda text: _number(text, least), default)

    def seconds(self, default: float, *names: str) -> float:
        """Return the seconds of a number of milliseconds, which all durations are."""
        number = self._read(names, lambda text: _number(text, 0, " of milliseconds"), -1)
        return default if number < 0 else number / 1000

    def timeout(self, default: float, *names: str) -> float:
        """Return the seconds of a number of milliseconds, of which 0 means no limit."""
        return self.seconds(default, *names) or FOREVER

    def choice(self, choices: tuple[str, ...], default: str, *names: str) -> str:
        """Return one of few texts, in whatever case it is written."""
        return self._read(names, lambda text: _choice(text, choices), default)

    def choices(self, choices: tuple[str, ...], name: str) -> tuple[str, ...] | None:
        """Return the texts of a list, each once; none for ``none``, None where nothing is set."""
        _, text = self.text(name)
        if not text:
            return None
        known = (*choices, "none")
        parts = text.split(",")
        found = [self._wrap(name, lambda part: _choice(part, known), part) for part in parts]
        if "none" in found and len(set(found)) > 1:
            raise ConfigError(f"{name}: found {text!r}; expected none alone, or without it")
        return tuple(one for one in dict.fromkeys(found) if one != "none")

    def ratio(self, name: str) -> float:
        """Return a number from 0 to 1; 1 where it is not set."""
        return self._read((name,), _ratio, 1.0)

    def headers(self, *names: str) -> tuple[tuple[str, str], ...]:
        """Return headers; their values are in no message."""
        name, text = self.text(*names)
        found = dict(self._pairs(name, text, "a header", secret=True))
        for number, (key, value) in enumerate(found.items(), 1):
            if not (_TOKEN.fullmatch(key) and _FIELD.fullmatch(value)):
                raise ConfigError(
                    f"{name}: found a character in header {number} that none can have;"
                    " expected a name, and a value of printable ASCII, both after %-decoding"
                )
        return tuple((key.lower(), value) for key, value in found.items())

    def attributes(self, name: str) -> tuple[tuple[str, str], ...]:
        """Return attributes as pairs."""
        _, text = self.text(name)
        return tuple(dict(self._pairs(name, text, "an attribute")).items())

    def _pairs(
        self, name: str, text: str, what: str, *, secret: bool = False
    ) -> Iterator[tuple[str, str]]:
        for number, part in enumerate(text.split(","), 1):
            key, equals, value = (one.strip() for one in part.partition("="))
            if not part.strip():
                continue
            shown = f"{what} (number {number})" if secret else repr(part.strip())
            if not (key and equals):
                raise ConfigError(
                    f"{name}: found {shown} that is not of the form; expected NAME=VALUE,..."
                )
            if _ESCAPE.search(part):
                raise ConfigError(
                    f"{name}: found {shown} with a % that is not the start of an escape;"
                    " expected %25 for it"
                )
            try:
                pair = unquote(key, errors="strict"), unquote(value, errors="strict")
                "".join(pair).encode()  # bytes that are no text are surrogates here
            except UnicodeError:
                raise ConfigError(f"{name}: found {shown} that is not UTF-8; expected it") from None
            yield pair

    def _read(self, names: tuple[str, ...], parse: Callable[[str], T], default: T) -> T:
        name, text = self.text(*names)
        return self._wrap(name, parse, text) if text else default

    @staticmethod
    def _wrap(name: str, parse: Callable[[str], T], text: str) -> T:
        try:
            return parse(text)
        except ConfigError as err:
            raise ConfigError(f"{name}: {err}") from None


def _number(text: str, least: int, unit: str = "") -> int:
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= MOST:
        raise ConfigError(f"found {text!r}; expected a whole number{unit}, {least} to {MOST}")
    return int(text)


def _choice(text: str, choices: tuple[str, ...]) -> str:
    found = text.strip().lower()
    if found not in choices:
        raise ConfigError(f"found {text!r}; expected {' or '.join(choices)}")
    return found


def _ratio(text: str) -> float:
    if not _RATIO.fullmatch(text) or float(text) > 1:
        raise ConfigError(f"found {text!r}; expected a number from 0 to 1")
    return float(text)
