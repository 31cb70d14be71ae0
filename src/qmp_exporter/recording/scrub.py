"""What of a message goes into a recording that is sent to others: what `kept` lists, and no more.

Values that tell one thing from another are replaced, always by the same, so that the model still
pairs who comes with who goes, and disks with their errors.
"""

from __future__ import annotations

import errno
import os
import re
from collections import defaultdict
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from qmp_exporter.recording.kept import ENVELOPE, ERROR, EVENTS, REPLIES, Rule


if TYPE_CHECKING:
    from collections.abc import Callable

    from qmp_exporter.recording.kept import Members


MOST: Final = 4096
"""Values of one kind that are told apart; further ones are all the same."""

NO_UUID: Final = "00000000-0000-0000-0000-000000000000"

# Of QEMU's own words: those of its enums, how somebody logged in, a version.
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9+_.-]{0,63}")
_EVENT: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_ANONYMOUS: Final = re.compile(r"#block[0-9]{1,9}")
_PLACE: Final = re.compile(
    r"|machine|peripheral|peripheral-anon|unattached|virtio-backend|rtc|device\[[0-9]{1,9}\]"
)
_ERRORS: Final = frozenset(os.strerror(number) for number in errno.errorcode)
_EMPTY: Final[dict[type, object]] = {bool: False, int: 0, float: 0.0, dict: {}, list: []}


class Scrubber:
    """Scrubs the messages of one recording."""

    def __init__(self) -> None:
        self._known: defaultdict[str, dict[bytes, int]] = defaultdict(dict)
        self._texts: dict[Rule, Callable[[str], str]] = {
            Rule.VALUE: lambda text: text if _WORD.fullmatch(text) else self._name("text", text),
            Rule.ID: self._id,
            Rule.PATH: lambda text: "/".join(map(self._part, text.split("/"))),
            Rule.TEXT: lambda text: text if text in _ERRORS else self._name("text", text),
            Rule.CLIENT: lambda text: self._name("client", text),
            Rule.SERVER: lambda text: self._name("server", text),
            Rule.PORT: lambda text: self._name("port", text),
            Rule.DNAME: lambda text: self._name("dname", text),
            Rule.USER: lambda text: self._name("user", text),
            Rule.VM: lambda text: self._name("vm", text),
            Rule.UUID: self._uuid,
        }

    def event(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return what goes into the file of an event."""
        name = str(message["event"])
        found: dict[str, Any] = self._members(message, ENVELOPE)
        found["event"] = name if _EVENT.fullmatch(name) else "OTHER"
        if "data" in message:
            found["data"] = self._value(message["data"], EVENTS.get(name, {}))
        return found

    def reply(self, command: str, returned: object) -> object:
        """Return what goes into the file of what a command returned."""
        return self._value(returned, REPLIES.get(command, {}))

    def error(self, error: object) -> object:
        """Return what goes into the file of an error reply."""
        return self._value(error, ERROR)

    def _members(self, found: dict[str, Any], kept: Members) -> dict[str, Any]:
        return {name: self._value(found[name], kept[name]) for name in found if name in kept}

    def _value(self, value: object, rule: Rule | Members) -> object:
        """Return what stands for a value: of another type than it should be, an empty one."""
        if isinstance(value, list):
            return [self._value([] if isinstance(one, list) else one, rule) for one in value]
        if not isinstance(rule, Rule):
            if isinstance(value, dict):
                return self._members(value, rule)
        elif isinstance(value, str):
            return self._texts[rule](value)
        elif rule is Rule.VALUE and isinstance(value, bool | int | float):
            return value
        return _EMPTY.get(type(value), "" if isinstance(value, str) else None)

    def _name(self, kind: str, text: str) -> str:
        return f"{kind}-{self._number(kind, text)}" if text else ""

    def _number(self, kind: str, text: str) -> int:
        known = self._known[kind]
        # Texts may be long and many: what is remembered of one is short.
        key = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if key not in known and len(known) >= MOST:
            return MOST
        return known.setdefault(key, len(known) + 1)

    def _id(self, text: str) -> str:
        return text if _ANONYMOUS.fullmatch(text) else self._name("id", text)

    def _part(self, text: str) -> str:
        return text if _PLACE.fullmatch(text) else self._id(text)

    def _uuid(self, text: str) -> str:
        return text if text == NO_UUID else f"00000000-0000-4000-8000-{self._number('', text):012}"
