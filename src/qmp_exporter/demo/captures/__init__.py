"""Recorded QMP events, and those that come with the package.

A recording is a file of JSON lines: every line is one event, byte for byte as QEMU sent it,
without the CR LF. Beside ``NAME.jsonl`` there may be ``NAME.index.json``, a list which cuts the
lines into scenarios, each of them the life of one machine::

    [{"scenario": "sigterm", "recipe": "SIGTERM to QEMU", "first_line": 8, "last_line": 8}]

``first_line`` and ``last_line`` count from 1. ``events`` may repeat the names of the events, and
``roles`` says of each line which machine sent it, where there were two (``src`` and ``dst`` of a
migration). Without an index the file is one scenario.

The captures in this folder were made with QEMU 7.2.22 (Debian 12) and 11.1.3 (Debian sid).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from qmp_exporter.errors import ConfigError
from qmp_exporter.recording.event import RecordedEvent


if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self


__all__ = ["SHIPPED", "RecordedEvent", "Recording", "Scenario"]

SHIPPED: Mapping[str, tuple[int, int, int]] = {"7.2": (7, 2, 22), "11.1": (11, 1, 3)}
"""The captures that come with the package, and the exact QEMU that each is of."""

_FOLDER = Path(__file__).parent


class _Entry(msgspec.Struct, kw_only=True):
    scenario: str
    first_line: int
    last_line: int
    recipe: str = ""
    events: list[str] | None = None
    roles: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """The life of one machine, as far as its events tell.

    Attributes:
        name: unique in a recording, together with `role`.
        role: ``src`` or ``dst`` where two machines were recorded together, else empty.
        recipe: how it was provoked, for people.
        events: in the order in which they came, which is not always that of their stamps.
        lines: the same events, byte for byte.
    """

    name: str
    role: str
    recipe: str
    events: tuple[RecordedEvent, ...]
    lines: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """Scenarios in the order of their recording.

    Attributes:
        scenarios: one for each machine: two for a scenario with roles.
        version: of the QEMU they were recorded from: major, minor, micro.
    """

    scenarios: tuple[Scenario, ...]
    version: tuple[int, int, int] = SHIPPED["11.1"]

    @classmethod
    def load(cls, path: Path, *, version: tuple[int, int, int] = SHIPPED["11.1"]) -> Self:
        """Read a file of JSON lines, and its index where there is one.

        Raises:
            ConfigError: a file cannot be read, a line is not an event, or the index does not fit.
        """
        lines = _read(path).splitlines()
        events = [_event(path, number, line) for number, line in enumerate(lines, start=1)]
        if not events:
            raise ConfigError(f"{path}: found no line, expected one event in JSON on each")
        index = path.with_suffix(".index.json")
        if index.exists():
            entries = _entries(index, events)
        else:
            entries = [_Entry(scenario=path.stem, first_line=1, last_line=len(lines))]
        scenarios = (scenario for entry in entries for scenario in _cut(entry, events, lines))
        return cls(tuple(scenarios), version)

    @classmethod
    def shipped(cls, version: str = "11.1") -> Self:
        """Return a capture that comes with the package; `SHIPPED` lists them."""
        return cls.load(_FOLDER / f"qemu-{version}.jsonl", version=SHIPPED[version])

    def only(self, *names: str) -> Recording:
        """Return these scenarios, in this order, with all their roles.

        Raises:
            KeyError: there is no scenario of such a name.
        """
        chosen = {name: [one for one in self.scenarios if one.name == name] for name in names}
        for name, found in chosen.items():
            if not found:
                raise KeyError(name)
        return Recording(tuple(one for name in names for one in chosen[name]), self.version)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def _event(path: Path, number: int, line: bytes) -> RecordedEvent:
    try:
        return RecordedEvent.parse(line)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path}:{number}: {error}, expected a QMP event in JSON") from error


def _entries(index: Path, events: list[RecordedEvent]) -> list[_Entry]:
    """Read an index and hold it against the events: every line is in one scenario."""
    try:
        entries = msgspec.json.decode(_read(index), type=list[_Entry])
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{index}: {error}, expected a list of scenarios in JSON") from error
    next_line = 1
    for entry in entries:
        where = f"{index}: {entry.scenario}"
        if entry.first_line != next_line or entry.last_line < next_line:
            found = f"lines {entry.first_line} to {entry.last_line}"
            raise ConfigError(f"{where}: found {found}, expected them to begin with {next_line}")
        next_line = entry.last_line + 1
        names = [event.name for event in events[entry.first_line - 1 : entry.last_line]]
        if entry.events is not None and entry.events != names:
            raise ConfigError(f"{where}: found events {entry.events}, expected {names}")
        if entry.roles is not None and len(entry.roles) != len(names):
            raise ConfigError(f"{where}: found {len(entry.roles)} roles, expected {len(names)}")
    if next_line != len(events) + 1:
        found = f"scenarios up to line {next_line - 1}"
        raise ConfigError(f"{index}: found {found}, expected {len(events)} lines in scenarios")
    return entries


def _cut(entry: _Entry, events: list[RecordedEvent], lines: list[bytes]) -> Iterable[Scenario]:
    """One scenario for each role, the roles in order of their first line."""
    numbers = range(entry.first_line - 1, entry.last_line)
    roles = entry.roles or [""] * len(numbers)
    for role in dict.fromkeys(roles):
        own = [number for number, its in zip(numbers, roles, strict=True) if its == role]
        yield Scenario(
            name=entry.scenario,
            role=role,
            recipe=entry.recipe,
            events=tuple(events[number] for number in own),
            lines=tuple(lines[number] for number in own),
        )
