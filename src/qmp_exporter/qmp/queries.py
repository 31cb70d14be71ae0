"""Every command that is ever sent to a VM, and the types of the replies.

QMP is full control of a VM and has no read-only mode. So this list is all: two commands set up the
connection's own events, the others only read.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from qmp_exporter.model.inputs import Ask
from qmp_exporter.model.replies import (
    Balloon,
    BlockDevices,
    BlockStats,
    JobInfos,
    MigrationInfo,
    ReplyValue,
    Spice,
    Status,
    VncServers,
)


T = TypeVar("T")


class Name(msgspec.Struct, frozen=True):
    """``query-name``."""

    name: str = ""


class Uuid(msgspec.Struct, frozen=True):
    """``query-uuid``."""

    uuid: str = msgspec.field(name="UUID")


class Arch(msgspec.Struct, frozen=True):
    """``query-target``."""

    arch: str


class Capability(msgspec.Struct, frozen=True):
    """A member of ``query-migrate-capabilities``."""

    capability: str
    state: bool


class QemuVersion(msgspec.Struct, frozen=True):
    """Of QEMU itself, without what a distribution calls it."""

    major: int = 0
    minor: int = 0
    micro: int = 0


class Version(msgspec.Struct, frozen=True):
    """The ``version`` of a greeting."""

    qemu: QemuVersion = QemuVersion()


NEGOTIATE: Final = "qmp_capabilities"
SET_CAPABILITIES: Final = "migrate-set-capabilities"
EVENTS_ON: Final = {"capabilities": [{"capability": "events", "state": True}]}
NO_UUID: Final = "00000000-0000-0000-0000-000000000000"

# The run state is asked for here, too: it says who waits for its name, and is read again later.
IDENTITY: Final = ("query-name", "query-uuid", "query-target", str(Ask.STATUS))
CAPABILITIES: Final = "query-migrate-capabilities"

# The order matters: the run state tells which end of a migration this is.
_STATE: Final[dict[str, type[ReplyValue]]] = {
    Ask.STATUS: Status,
    Ask.BLOCK: BlockDevices,
    Ask.BLOCKSTATS: BlockStats,
    Ask.MIGRATE: MigrationInfo,
    Ask.VNC: VncServers,
    Ask.SPICE: Spice,
    Ask.JOBS: JobInfos,
    "query-balloon": Balloon,
}
STATE: Final = tuple(str(command) for command in _STATE)

COMMANDS: Final = frozenset({NEGOTIATE, SET_CAPABILITIES, *IDENTITY, CAPABILITIES, *STATE})


def allowed(command: object, arguments: object) -> bool:
    """Whether a command is on the list, with the only arguments it may have."""
    if command == SET_CAPABILITIES:
        return arguments == EVENTS_ON
    if command == NEGOTIATE:
        return arguments in (None, {}, {"enable": ["oob"]})
    return isinstance(command, str) and command in COMMANDS and not arguments


_LISTS: Final[dict[object, str]] = {
    BlockDevices: "devices",
    BlockStats: "disks",
    JobInfos: "jobs",
    VncServers: "servers",
}
"""The types of replies that are lists, and what the list is called in them."""


def typed(command: str, reply: Any) -> ReplyValue | None:
    """Return a reply as its type; none if it is not one, or of a command that tells no state."""
    kind = _STATE.get(command)
    if kind is None:
        return None
    if kind in _LISTS:
        reply = {_LISTS[kind]: reply}
    try:
        return msgspec.convert(reply, kind)
    except (msgspec.ValidationError, UnicodeEncodeError):  # a lone surrogate
        return None


def read_as(value: object, kind: type[T], otherwise: T) -> T:
    """Return a reply as its type, or ``otherwise`` where it is not one."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, UnicodeEncodeError):  # a lone surrogate
        return otherwise
