"""The kinds of values that settings have, each in all its forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from qmp_exporter.config import entries, members, texts
from qmp_exporter.errors import ConfigError
from qmp_exporter.model.target import Target


if TYPE_CHECKING:
    from collections.abc import Callable

    from qmp_exporter.config.given import Form, Given


class Kind(msgspec.Struct, frozen=True):
    """A kind of value.

    Attributes:
        metavar: what stands for it in the help; empty for a switch, which has no value.
        parse: from its text, of a flag or a variable, to the value; raises ConfigError.
        schema: its JSON Schema, in the file.
        forms: what its text is to YAML, in the file.
        what: what is expected where it is of another form.
        choices: the texts that are values, if there are few.
        find: from its form in the file and the folder of the file to the value, where that is more
            than a text.
        show: from the value to its form in the file.
        same: what no two values in the file may have in common.
    """

    metavar: str
    parse: Callable[[str], Any]
    schema: dict[str, Any]
    forms: tuple[Form, ...] = ("text",)
    what: str = "a text"
    choices: tuple[str, ...] = ()
    find: Callable[[Given, str], Any] | None = None
    show: Callable[[Any], Any] = lambda value: value
    same: Callable[[Any], Any] = lambda value: value

    def read(self, given: Given, base: str) -> Any:
        """Return the value that a value of the file is.

        Raises:
            ConfigError: it is none.
        """
        if self.find is not None:
            return self.find(given, base)
        form = given.form if given.form in self.forms else self.forms[0]
        return given.parsed(self.parse, form, self.what)


def _number(parse: Callable[[str], int], least: int) -> Kind:
    return Kind(
        "N",
        parse,
        {"type": "integer", "minimum": least, "maximum": texts.MOST},
        ("number",),
        "a number, without quotes",
    )


def one_of(metavar: str, choices: tuple[str, ...]) -> Kind:
    """Return the kind of a text that is one of few."""
    what = " or ".join(choices)

    def parse(text: str) -> str:
        if text not in choices:
            raise ConfigError(f"found {text!r}; expected {what}")
        return text

    return Kind(metavar, parse, {"enum": list(choices)}, what=what, choices=choices)


def _boolean(metavar: str = "", parse: Callable[[str], bool] = bool, *choices: str) -> Kind:
    return Kind(
        metavar,
        parse,
        {"type": "boolean"},
        ("boolean",),
        choices=choices,
        find=lambda given, _: given.boolean(),
    )


_BOTH: Final = one_of("on|off", ("on", "off"))

SWITCH: Final = _boolean()
ON_OFF: Final = _boolean("on|off", lambda text: _BOTH.parse(text) == "on", "on", "off")
NUMBER: Final = _number(texts.parse_number, 0)
COUNT: Final = _number(texts.parse_count, 1)
SIZE: Final = Kind(
    "SIZE",
    texts.parse_size,
    {
        "anyOf": [
            {"type": "integer", "minimum": texts.LINES[0], "maximum": texts.LINES[1]},
            {"type": "string", "pattern": texts.SIZE},
        ]
    },
    ("text", "number"),
    "a size such as 1MiB",
    show=texts.show_size,
)
DURATION: Final = Kind(
    "DURATION",
    texts.parse_duration,
    {"type": "string", "pattern": texts.DURATION},
    what="a duration such as 5m",
    show=texts.show_duration,
)
MODE: Final = Kind(
    "MODE",
    texts.parse_mode,
    {"type": "string", "pattern": texts.MODE},
    what='a text such as "0600"',
    show=texts.show_mode,
)
USER: Final = Kind(
    "USER", texts.parse_owner, members.OWNER, find=lambda given, _: entries.owner(given)
)
GROUP: Final = Kind(
    "GROUP", texts.parse_group, members.OWNER_OR_NONE, find=lambda given, _: entries.group(given)
)
TELEMETRY_PATH: Final = Kind(
    "PATH", texts.parse_telemetry_path, {"type": "string", "pattern": texts.TELEMETRY_PATH}
)
ADDRESS: Final = Kind(
    "ADDRESS",
    texts.parse_address,
    {"type": "string", "pattern": texts.ADDRESS},
    find=lambda given, base: given.parsed(
        lambda text: texts.parse_address(text, base), "text", "an address such as :10767"
    ),
)
FILE: Final = Kind("FILE", str, {"type": "string"})
PATH: Final = Kind(
    "FILE",
    texts.parse_path,
    {"type": "string"},
    find=lambda given, base: given.parsed(lambda text: texts.parse_path(text, base), "text"),
)
SOCKET: Final = Kind(
    "PATH",
    texts.parse_socket,
    members.SOCKET_SCHEMA,
    find=entries.socket,
    show=entries.show_socket,
    same=lambda found: found.address if isinstance(found, Target) else found,
)
LISTENER: Final = Kind(
    "PATH",
    lambda text: entries.Listener(texts.parse_listener(text)),
    members.LISTENER_SCHEMA,
    find=entries.listener,
    show=entries.show_listener,
    same=lambda found: found.path,
)
