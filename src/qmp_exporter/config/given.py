"""A value of the configuration file, with its place, and how it is taken for what is wanted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from qmp_exporter.errors import ConfigError


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    T = TypeVar("T")

Form: TypeAlias = Literal["text", "number", "boolean", "nothing", "list", "mapping"]

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+")
_TRUE: Final = frozenset({"true", "yes", "on", "y"})  # those after the first by YAML 1.1
_LONG: Final = 400


class Given(msgspec.Struct, frozen=True):
    """A value of the file.

    Attributes:
        place: ``FILE:LINE``.
        key: its dotted key, such as ``qmp.socket[1].path``; empty for the whole.
        form: what it is to YAML.
        text: of a text, a number or a boolean, as it is written.
        items: of a list.
        members: of a mapping.
    """

    place: str
    key: str
    form: Form
    text: str = ""
    items: tuple[Given, ...] = ()
    members: dict[str, Given] = {}

    def wrong(self, expected: str, found: str = "") -> ConfigError:
        """Return the error that this is not what was expected."""
        shown = _clipped(found or self._shown)
        return ConfigError(f"{self._where}: found {shown}; expected {expected}")

    def parsed(self, parse: Callable[[str], T], form: Form, what: str = "") -> T:
        """Return what its text is, if it is of that form.

        Raises:
            ConfigError: it is of another form, or ``parse`` refuses it.
        """
        if self.form != form:
            raise self.wrong(what)
        try:
            return parse(self.text)
        except ConfigError as err:
            raise ConfigError(f"{self._where}: {_clipped(str(err))}") from None

    def words(self) -> str:
        """Return a text."""
        quoted = self.form in ("number", "boolean")  # to YAML, and for people a text like another
        return self.parsed(str, "text", f'a text: "{self.text}"' if quoted else "a text")

    def boolean(self) -> bool:
        """Return true or false."""
        return self.parsed(lambda text: text.lower() in _TRUE, "boolean", "true or false")

    def each(self) -> tuple[Given, ...]:
        """Return the items of a list; what is no list is its own only item."""
        return self.items if self.form == "list" else (self,)

    def mapping(self, names: Iterable[str] | None = None, what: str = "") -> dict[str, Given]:
        """Return the members of a mapping.

        Args:
            names: those that it may have; any, where this is None.
            what: is expected, if not a mapping.
        """
        if self.form != "mapping":
            raise self.wrong(what or "a mapping")
        if names is not None:
            for name, member in self.members.items():
                if name not in names:
                    raise member.wrong(f"one of {', '.join(names)}", "an unknown key")
        return self.members

    @property
    def _where(self) -> str:
        return f"{self.place}: {self.key}" if self.key else self.place

    @property
    def _shown(self) -> str:
        match self.form:
            case "text":
                return repr(self.text)
            case "number":
                # YAML's rule, which surprises people: 0600 and 1.5 are numbers, "0600" is a text.
                return f"the number {self.text}"
            case "boolean":
                return self.text
            case "nothing":
                return "nothing"
        return f"a {self.form}"


def dotted(key: str, name: str) -> str:
    """Return the key of a member of a mapping."""
    shown = name if _PLAIN.fullmatch(name) else repr(name)
    return f"{key}.{shown}" if key else shown


def _clipped(text: str) -> str:
    """Return a text, without its middle if it is very long."""
    return text if len(text) <= _LONG else f"{text[: _LONG // 2]} ... {text[-_LONG // 2 :]}"
