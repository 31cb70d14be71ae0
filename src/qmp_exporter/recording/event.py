"""One event of a monitor, kept to the byte, that can be sent again at another time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec


if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self


SECOND: Final = 1_000_000
"""In microseconds, the unit of QEMU's stamps."""

_Members = dict[str, msgspec.Raw]


class _Stamp(msgspec.Struct):
    seconds: int
    microseconds: int


class _Event(msgspec.Struct):
    event: str
    timestamp: _Stamp | None = None
    data: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One event as QEMU sent it, ready to be sent again at another time.

    Attributes:
        name: of the event, ``BLOCK_IO_ERROR``.
        microseconds: QEMU's stamp since the epoch; None where there is none, or where QEMU could
            not read its clock and wrote -1.
        members: the JSON text of every member of the line, in its order.
    """

    name: str
    microseconds: int | None
    members: Mapping[str, msgspec.Raw]

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """Read one line.

        Raises:
            msgspec.MsgspecError: it is not JSON, or not an event.
        """
        event = msgspec.json.decode(line, type=_Event)
        microseconds = None
        if (stamp := event.timestamp) is not None and stamp.seconds >= 0:
            microseconds = stamp.seconds * SECOND + stamp.microseconds
        return cls(event.event, microseconds, msgspec.json.decode(line, type=_Members))

    @property
    def data(self) -> dict[str, Any]:
        """What the event carries; empty where it carries nothing."""
        raw = self.members.get("data")
        return {} if raw is None else msgspec.json.decode(raw, type=dict[str, Any])

    def stamped(self, microseconds: int) -> bytes:
        """The line as it would read at another time (microseconds since the epoch).

        All else stays as it is, to the byte. An event without a known time stays so, too.
        """
        members = dict(self.members)
        if self.microseconds is not None:
            seconds, rest = divmod(microseconds, SECOND)
            stamp = b'{"seconds": %d, "microseconds": %d}' % (seconds, rest)
            members["timestamp"] = msgspec.Raw(stamp)
        texts = (msgspec.json.encode(name) + b": " + bytes(raw) for name, raw in members.items())
        return b"{" + b", ".join(texts) + b"}"
