"""The configuration file: YAML of which no more is taken than what one can mean.

Scalars are read by the core schema of YAML 1.2, as editors do, not by YAML 1.1 as PyYAML does:
``on`` is a text and ``10:20`` is none of minutes. A key twice, an alias and a tag are errors, so
that what is written is what there is. Source: https://yaml.org/spec/1.2.2, section 10.3.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from typing import TYPE_CHECKING, Any, Final, NoReturn

import yaml

from qmp_exporter.config.given import Form, Given, dotted
from qmp_exporter.errors import ConfigError


if TYPE_CHECKING:
    from collections.abc import Callable


MOST_BYTES: Final = 1024 * 1024
"""Size of a file."""

DEEPEST: Final = 16
"""Lists and mappings within one another."""

TAG: Final = "tag:yaml.org,2002:"
_FORMS: Final[dict[str, Form]] = {
    f"{TAG}str": "text",
    f"{TAG}int": "number",
    f"{TAG}float": "number",
    f"{TAG}bool": "boolean",
    f"{TAG}null": "nothing",
}
SCALARS: Final = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
)
"""What a text without quotes may be: its tag, how it looks, how it begins."""


def kept(path: str, flags: int) -> int:
    """Open a file that can be read again; an ``opener`` of ``open``.

    Raises:
        OSError: it cannot be opened; or it is a pipe, which has what is in it once, and makes who
            opens it wait.
    """
    number = os.open(path, flags | os.O_NONBLOCK)
    if stat.S_ISFIFO(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.ESPIPE, "a pipe, which cannot be read again", path)
    return number


def read(
    path: str,
    loader: type[Loader] | None = None,
    opener: Callable[[str, int], int] | None = None,
) -> Given:
    """Return what the file says.

    Args:
        path: where it is.
        loader: the YAML that is taken, where that is not ``Loader``'s.
        opener: opens it, as of ``open``.

    Raises:
        ConfigError: it cannot be read, or is not YAML that we take.
    """
    try:
        with open(path, "rb", opener=opener) as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as err:
        raise ConfigError(f"{path}: {err.strerror}; expected a YAML file") from None
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{path}: found more than {MOST_BYTES} bytes; expected fewer")
    try:
        text = content.decode()
    except UnicodeDecodeError as err:
        line = content.count(b"\n", 0, err.start) + 1
        byte = content[err.start]
        raise ConfigError(f"{path}:{line}: found the byte {byte:#04x}; expected UTF-8") from None
    return _parse(text, path, loader or Loader)


def _parse(text: str, path: str, kind: type[Loader]) -> Given:
    loader = None
    try:
        loader = kind(text)
        node = loader.get_single_node()
        return _given(node, path, "", loader) if node else Given(f"{path}:1", "", "nothing")
    except RefusedError as err:
        raise ConfigError(f"{path}:{err.line}: {err}") from None
    except yaml.MarkedYAMLError as err:
        line = err.problem_mark.line + 1 if err.problem_mark else 1
        said = " ".join(f"{err.context or ''} {err.problem}".split())
        raise ConfigError(f"{path}:{line}: not YAML: {said}") from None
    except yaml.reader.ReaderError as err:
        line = text.count("\n", 0, err.position) + 1
        raise ConfigError(
            f"{path}:{line}: found the character {err.character:#x}; expected YAML"
        ) from None
    except ValueError as err:  # of Python, for an escape or a directive with a number beyond all
        line = loader.line + 1 if loader else 1
        raise ConfigError(f"{path}:{line}: not YAML: {err}") from None


class RefusedError(Exception):
    """YAML that we do not take."""

    def __init__(self, what: Any, message: str) -> None:
        super().__init__(message)
        self.line: int = _line(what)


class Loader(yaml.SafeLoader):
    """Makes the nodes of a file, without aliases and tags, and not too deep.

    Attributes:
        keys: what a key may be to YAML.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012
    keys: frozenset[Form] = frozenset({"text"})
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next node."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            return self.aliased(event)
        if event.tag is not None:
            raise RefusedError(event, f"found the tag {event.tag!r}; expected none")
        if self._depth > DEEPEST:
            raise RefusedError(event, f"found more than {DEEPEST} levels; expected fewer")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def aliased(self, event: yaml.AliasEvent) -> yaml.Node:
        """Return the node that an alias stands for."""
        raise RefusedError(event, f"found the alias *{event.anchor}; expected what it stands for")


for _name, _look, _starts in SCALARS:
    Loader.add_implicit_resolver(f"{TAG}{_name}", re.compile(rf"^(?:{_look})$"), _starts)


def _line(what: Any) -> int:
    """Return the line in which a node or event begins; the types of both are too wide."""
    number: int = what.start_mark.line
    return number + 1


def _given(node: yaml.Node, path: str, key: str, loader: Loader) -> Given:
    place = f"{path}:{_line(node)}"
    if isinstance(node, yaml.SequenceNode):
        items = (_given(item, path, f"{key}[{n}]", loader) for n, item in enumerate(node.value))
        return Given(place, key, "list", items=tuple(items))
    if isinstance(node, yaml.MappingNode):
        members: dict[str, Given] = {}
        lines: dict[str, int] = {}
        for named, value in node.value:
            name = _name_of(named, key, loader.keys)
            if name in members:
                _twice(named, dotted(key, name), lines[name])
            lines[name] = _line(named)
            members[name] = _given(value, path, dotted(key, name), loader)
        return Given(place, key, "mapping", members=members)
    assert isinstance(node, yaml.ScalarNode)  # noqa: S101 - there are no other nodes
    return Given(place, key, _FORMS[node.tag], _fit(node, key))


def _name_of(node: yaml.Node, key: str, forms: frozenset[Form]) -> str:
    if isinstance(node, yaml.ScalarNode) and _FORMS[node.tag] in forms:
        return _fit(node, key)
    scalar = isinstance(node, yaml.ScalarNode)
    shown = f"the key {node.value or 'nothing'}" if scalar else "a list or mapping as a key"
    raise RefusedError(node, f"{_prefix(key)}found {shown}; expected a text")


def _fit(node: yaml.ScalarNode, key: str) -> str:
    """Return the text of a scalar, which must be one that a path can have."""
    text: str = node.value
    try:
        if b"\0" not in os.fsencode(text):
            return text
    except UnicodeEncodeError:
        pass
    raise RefusedError(node, f"{_prefix(key)}found {text!r}; expected characters of a path")


def _twice(node: yaml.Node, key: str, line: int) -> NoReturn:
    raise RefusedError(node, f"{key}: found a second time; expected once, as in line {line}")


def _prefix(key: str) -> str:
    return f"{key}: " if key else ""
