"""One client of a monitor: bytes in, replies out, negotiation first.

The rules are those of QEMU's docs/interop/qmp-spec, and of QEMU 7.2 where that is silent; the
texts of errors are QEMU's, except what a JSON parser says.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


LATER: Final = object()
"""What answers a command that is not answered yet."""


class QmpError(Exception):
    """A command is refused; raised by what answers it, sent as an error reply.

    Attributes:
        kind: QEMU's class of error: ``GenericError``, ``CommandNotFound``, ``DeviceNotActive``.
    """

    def __init__(self, kind: str, description: str) -> None:
        super().__init__(description)
        self.kind = kind


def crlf(message: object) -> bytes:
    """Return a message as QEMU writes it: JSON in one line, ended by CR LF."""
    return json.dumps(message).encode() + b"\r\n"


def greeting(version: tuple[int, int, int], package: str = "") -> dict[str, Any]:
    """Return what QEMU says first."""
    major, minor, micro = version
    qemu = {"micro": micro, "minor": minor, "major": major}
    return {"QMP": {"version": {"qemu": qemu, "package": package}, "capabilities": ["oob"]}}


class Conversation:
    """The commands of one client, in order.

    Args:
        answer: called with a command and its arguments; what it returns is to be sent, unless it
            is `LATER`, and a `QmpError` that it raises is to be sent as an error.

    Attributes:
        negotiated: the client has said ``qmp_capabilities``: now events may be sent to it.
    """

    def __init__(self, answer: Callable[[str, dict[str, Any]], object]) -> None:
        self.negotiated = False
        self._answer = answer
        self._frame = bytearray()
        self._depth = 0
        self._quoted = self._escaped = False

    def feed(self, chunk: bytes) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yield each command that is complete now, and its reply.

        Commands come as a stream: neither line ends nor anything else has to be between them.
        The command is empty where what came is none, the reply where it comes later.
        """
        for byte in chunk:
            self._frame.append(byte)
            if self._closes(chr(byte)):
                frame = bytes(self._frame)
                self._frame.clear()
                self._depth = 0
                yield self._reply(frame)

    def _closes(self, char: str) -> bool:
        """Follow quotes and brackets; say whether a whole JSON value has come."""
        if self._quoted:
            self._quoted = self._escaped or char != '"'
            self._escaped = char == "\\" and not self._escaped
        elif char == '"':
            self._quoted = True
        elif char in "{[":
            self._depth += 1
        elif char in "}]":
            self._depth -= 1
            return self._depth <= 0
        return False

    def _reply(self, frame: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
        command: dict[str, Any] = {}
        answer: object
        try:
            command = _object(frame)
            answer = self._run(*_name_and_arguments(command))
        except QmpError as error:
            answer = error
        return command, {} if answer is LATER else reply_to(command, answer)

    def _run(self, name: str, arguments: dict[str, Any]) -> object:
        if self.negotiated:
            if name == "qmp_capabilities":
                complete = "Capabilities negotiation is already complete, command ignored"
                raise QmpError("CommandNotFound", complete)
            return self._answer(name, arguments)
        if name != "qmp_capabilities":
            expecting = "Expecting capabilities negotiation with 'qmp_capabilities'"
            raise QmpError("CommandNotFound", expecting)
        self.negotiated = True
        return {}


def reply_to(command: dict[str, Any], answer: object) -> dict[str, Any]:
    """Return the reply to a command: what it returns, or a `QmpError`."""
    reply: dict[str, Any] = {"return": answer}
    if isinstance(answer, QmpError):
        reply = {"error": {"class": answer.kind, "desc": str(answer)}}
    return reply | ({"id": command["id"]} if "id" in command else {})


def _object(frame: bytes) -> dict[str, Any]:
    try:
        command = json.loads(frame)
    except ValueError as error:
        raise QmpError("GenericError", f"JSON parse error, {error}") from error
    if not isinstance(command, dict):
        raise QmpError("GenericError", "QMP input must be a JSON object")
    return command


def _name_and_arguments(command: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if "execute" not in command:
        raise QmpError("GenericError", "QMP input lacks member 'execute'")
    name, arguments = command["execute"], command.get("arguments", {})
    if not isinstance(name, str):
        raise QmpError("GenericError", "QMP input member 'execute' must be a string")
    if not isinstance(arguments, dict):
        raise QmpError("GenericError", "QMP input member 'arguments' must be an object")
    return name, arguments
