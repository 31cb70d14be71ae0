"""What a flag is: with its variable in the environment and its key in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from qmp_exporter.config import kinds
from qmp_exporter.config.settings import Settings
from qmp_exporter.errors import ConfigError


if TYPE_CHECKING:
    from qmp_exporter.config.given import Given
    from qmp_exporter.config.kinds import Kind


_ENVIRONMENT: Final = "QMP_EXPORTER_"
_NO: Final = "--no-"
_NOT: Final = "do not "
_TRUE: Final = frozenset({"1", "on", "true", "yes"})
_FALSE: Final = frozenset({"0", "off", "false", "no"})


class Flag(msgspec.Struct, frozen=True):
    """A flag, its environment variable and its key in the configuration file.

    Attributes:
        name: with its dashes.
        help: one phrase; of a flag that begins with ``--no-``, it begins with ``do not``.
        setting: the member of ``Settings`` that it sets.
        kind: of its value.
        many: whether it may be given again.
        least: values that a list in the file must have.
        value: what a switch sets.
        filed: whether the file has it.
    """

    name: str
    help: str
    setting: str
    kind: Kind = kinds.SWITCH
    many: bool = False
    least: int = 0
    value: bool = True
    filed: bool = True

    @property
    def variable(self) -> str:
        """Its twin in the environment."""
        return _ENVIRONMENT + self.name.strip("-").upper().replace(".", "_").replace("-", "_")

    @property
    def key(self) -> str:
        """Its dotted key in the file; empty, if the file does not have it."""
        section, _, name = self.name.removeprefix(_NO).strip("-").replace("-", "_").partition(".")
        return f"{section}.{name.replace('.', '_')}" if self.filed else ""

    @property
    def says(self) -> str:
        """What its key says: the help, turned round if the flag is."""
        return self.help.removeprefix(_NOT) if self.name.startswith(_NO) else self.help

    def read(self, text: str, source: str) -> Any:
        """Return the value that the text of a flag or variable is.

        Raises:
            ConfigError: it is none; the message names ``source``.
        """
        try:
            return self.kind.parse(text)
        except ConfigError as err:
            raise ConfigError(f"{source}: {err}") from None

    def read_variable(self, text: str) -> Any:
        """Return the value of its variable; None where that is as good as none.

        Raises:
            ConfigError: it is wrong.
        """
        if self.many:
            lines = [line for line in text.splitlines() if line.strip()]
            return [self.read(line, self.variable) for line in lines] or None
        if self.kind.metavar:
            return self.read(text, self.variable)
        if text.lower() in _TRUE | _FALSE:
            return self.value is (text.lower() in _TRUE)
        if text:
            raise ConfigError(f"{self.variable}: found {text!r}; expected true or false")
        return None

    def read_file(self, given: Given, base: str) -> Any:
        """Return the value that a value of the file is.

        Args:
            given: the value of the file.
            base: the folder of the file, in which paths start.

        Raises:
            ConfigError: it is wrong.
        """
        if not self.many:
            return self._of_file(self.kind.read(given, base))
        found: dict[Any, Any] = {}
        for item in given.each():
            value = self.kind.read(item, base)
            same = self.kind.same(value)
            if same in found:
                raise item.wrong("each once", "it a second time")
            found[same] = value
        if len(found) < self.least:
            raise given.wrong(f"at least {self.least} item", "an empty list")
        return list(found.values())

    def of(self, settings: Settings) -> Any:
        """Return what it is set to, as the file has it."""
        if self.setting == "sockets":
            value: Any = (*settings.targets, *settings.patterns)
        else:
            value = getattr(settings, self.setting)
        return [*map(self.kind.show, value)] if self.many else self.kind.show(self._of_file(value))

    @property
    def default(self) -> str:
        """What holds where nothing is set, as the flag has it; empty where that is nothing."""
        if not (self.filed and self.kind.metavar):
            return ""
        shown = self.of(Settings())
        if isinstance(shown, bool):
            shown = "on" if shown else "off"
        return ", ".join(shown) if self.many else str(shown)

    def _of_file(self, value: Any) -> Any:
        """Turn what a switch sets into what its key says, and back."""
        turned = self.kind.forms == ("boolean",) and self.value is self.name.startswith(_NO)
        return not value if turned else value
