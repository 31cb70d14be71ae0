"""Monitors and listeners as the file has them: a text, as the flag takes it, or a mapping."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any, Final

import msgspec

from qmp_exporter.config import texts
from qmp_exporter.config.given import Given
from qmp_exporter.config.members import EXCLUDE, LABEL, LISTENER, RESERVED, SOCKET, Member
from qmp_exporter.discovery.pattern import Pattern, expression
from qmp_exporter.errors import ConfigError
from qmp_exporter.model.target import Listening, Target


if TYPE_CHECKING:
    from collections.abc import Callable

    from qmp_exporter.config.settings import Settings


_LABEL: Final = re.compile(LABEL)
_EITHER: Final = "a path, or a mapping with one"
_OWNER: Final = "a name or a number"
_EXCLUDES: Final = "a glob that begins with / or *"
_NAMES: Final = "a name of letters, digits and _ that does not begin with __ and is none of {}"


class Listener(msgspec.Struct, frozen=True):
    """A listener as it is given; what is None is as ``listen`` says."""

    path: str
    mode: int | None = None
    group: str | None = None
    users: tuple[str, ...] | None = None
    labels: tuple[tuple[str, str], ...] = ()
    migration_events: bool | None = None

    def listening(self, settings: Settings) -> Listening:
        """Return the listener as it is meant."""
        return Listening(
            self.path,
            settings.listen_mode if self.mode is None else self.mode,
            settings.listen_group if self.group is None else self.group,
            settings.listen_users if self.users is None else self.users,
            self.labels,
            self.migration_events,
        )


def socket(given: Given, base: str) -> Target | Pattern:
    """Return the monitor, or the pattern of monitors, that a value of the file is."""

    def parse(text: str) -> Target | Pattern:
        return texts.parse_socket(text, base)

    if given.form != "mapping":
        return given.parsed(parse, "text", _EITHER)
    members = _members(given, SOCKET)
    found = members["path"].parsed(parse, "text", "a path")
    labels = _labels(members["labels"]) if "labels" in members else ()
    migration = members["migration_events"].boolean() if "migration_events" in members else None
    if isinstance(found, Target):
        for key in ("match", "exclude"):
            if key in members:
                raise members[key].wrong("it only with a glob", "it with the path of one monitor")
        name = _filled(members["name"]) if "name" in members else ""
        return msgspec.structs.replace(found, name=name, labels=labels, migration_events=migration)
    if "name" in members:
        raise members["name"].wrong("match, which makes names of paths", "one name for a glob")
    excludes = members["exclude"].each() if "exclude" in members else ()
    return Pattern(
        found.path,
        _match(members["match"], labels) if "match" in members else None,
        tuple(exclude.parsed(_exclude, "text", _EXCLUDES) for exclude in excludes),
        labels,
        migration,
    )


def listener(given: Given, base: str) -> Listener:
    """Return the listener that a value of the file is."""

    def parse(text: str) -> str:
        return texts.parse_listener(text, base)

    if given.form != "mapping":
        return Listener(given.parsed(parse, "text", _EITHER))
    read: dict[str, Callable[[Given], Any]] = {
        "path": lambda value: value.parsed(parse, "text", "a path"),
        "mode": lambda value: value.parsed(texts.parse_mode, "text", 'a text such as "0660"'),
        "group": group,
        "users": lambda value: tuple(map(owner, value.each())),
        "labels": _labels,
        "migration_events": Given.boolean,
    }
    return Listener(**{name: read[name](v) for name, v in _members(given, LISTENER).items()})


def owner(given: Given) -> str:
    """Return the name or number of a user or group that a value of the file is."""
    if given.form == "number":
        if not given.text.isdecimal():
            raise given.wrong(_OWNER)
        return given.parsed(lambda text: texts.parse_owner(text.lstrip("0") or "0"), "number")
    return given.parsed(texts.parse_owner, "text", _OWNER)


def group(given: Given) -> str:
    """Return the name or number of a group that a value of the file is, or nothing."""
    return "" if given.form == "text" and not given.text else owner(given)


def _members(given: Given, known: tuple[Member, ...]) -> dict[str, Given]:
    members = given.mapping([member.name for member in known])
    if "path" not in members:
        raise given.wrong("one", "no path")
    return members


def _filled(given: Given) -> str:
    text = given.words()
    if not text:
        raise given.wrong("a text that is not empty")
    return text


def _exclude(text: str) -> str:
    if not re.match(EXCLUDE, text):
        raise ConfigError(f"found {text!r}; expected {_EXCLUDES}")
    return text


def _labels(given: Given) -> tuple[tuple[str, str], ...]:
    for name, value in given.mapping().items():
        if name in RESERVED or not _LABEL.fullmatch(name):
            raise value.wrong(_NAMES.format(", ".join(RESERVED)), f"the label {name!r}")
    return tuple((name, value.words()) for name, value in given.members.items())


def _expression(text: str) -> re.Pattern[str]:
    with warnings.catch_warnings(action="ignore"):  # of what may mean more in a later Python
        return expression(text)


def _match(given: Given, labels: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    found = given.parsed(_expression, "text", "a regular expression")
    taken = (*RESERVED[1:], *dict(labels))
    for name in found.groupindex:
        if name in taken or not _LABEL.fullmatch(name):
            raise given.wrong(_NAMES.format(", ".join(taken)), f"the group {name!r}")
    if not given.text:
        raise given.wrong("a regular expression that is not empty")
    return found


def show_socket(found: Target | Pattern) -> str | dict[str, Any]:
    """Return a monitor, or a pattern of them, as the file has it."""
    shown: dict[str, Any]
    if isinstance(found, Target):
        path = found.address
        if found.tcp and texts.parse_socket(path) != Target(path, tcp=True):
            path = f"tcp:{path}"
        shown = {"path": path} | ({"name": found.name} if found.name else {})
    else:
        shown = {"path": found.path}
        shown |= {"match": found.name.pattern} if found.name else {}
        shown |= {"exclude": list(found.excludes)} if found.excludes else {}
    shown |= _more(found)
    return shown if len(shown) > 1 else shown["path"]


def show_listener(found: Listening) -> dict[str, Any]:
    """Return a listener as the file has it, with all that it is meant to be."""
    return {
        "path": found.path,
        "mode": texts.show_mode(found.mode),
        "group": found.group,
        "users": list(found.users),
        **_more(found),
    }


def _more(found: Target | Pattern | Listening) -> dict[str, Any]:
    shown: dict[str, Any] = {"labels": dict(found.labels)} if found.labels else {}
    if found.migration_events is not None:
        shown["migration_events"] = found.migration_events
    return shown
