"""The exceptions of this package.

::

    QmpExporterError
    ├── ConfigError            config        a flag, variable or file is wrong
    ├── ListenError            listen        an address cannot be bound
    ├── RecordingError         recording     a recording cannot be written
    ├── RequestError           request       an HTTP request is turned away
    ├── DecodeError            decode        a line is not the event it claims to be
    ├── DomainError            domain        the XML of a domain cannot be changed
    └── SessionError                         a monitor cannot be watched (now)
        ├── GoneError          gone          nothing is at that address: QEMU has ended
        ├── RefusedError       refused       a socket without a QEMU behind it
        ├── DeniedError        denied        the socket may not be opened by this user
        ├── BusyError          busy          somebody else holds the monitor
        ├── UnreachableError   connecting    it is not reached, and that says nothing of QEMU
        ├── UnresponsiveError  unresponsive  it greeted, then did not answer
        ├── NotQmpError        not-qmp       what answers does not speak QMP
        └── LostError          a LostCause   the connection ended

``reason`` is stable: it is a label value of metrics and a key of log lines.
"""

from __future__ import annotations

from typing import ClassVar


class QmpExporterError(Exception):
    """Base of every error that this package raises on purpose."""

    reason: ClassVar[str] = "error"


class ConfigError(QmpExporterError):
    """A setting is wrong; the text names it, what was found and what was expected."""

    reason = "config"


class ListenError(QmpExporterError):
    """An address, for HTTP or for QEMU to dial in, cannot be bound; the text says why."""

    reason = "listen"


class RecordingError(QmpExporterError):
    """A recording cannot be written, or is over before its time; the text says why."""

    reason = "recording"


class RequestError(QmpExporterError):
    """An HTTP request is turned away; the text says why, and repeats nothing of the request.

    Attributes:
        status: the status code to answer with.
    """

    reason = "request"

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class DecodeError(QmpExporterError):
    """A line of a monitor is not the event that it claims to be.

    Attributes:
        event: the event's name where the catalog knows it, else ``other``.
    """

    reason = "decode"

    def __init__(self, event: str, detail: str) -> None:
        super().__init__(f"{event}: {detail}")
        self.event = event


class DomainError(QmpExporterError):
    """The XML of a domain of libvirt cannot be changed; the text says what was found in it."""

    reason = "domain"


class SessionError(QmpExporterError):
    """A monitor cannot be watched now; ``reason`` is the target's state."""


class GoneError(SessionError):
    """There is no socket at that path: QEMU removed it when it ended."""

    reason = "gone"


class RefusedError(SessionError):
    """Nothing listens: QEMU was killed and left its socket behind."""

    reason = "refused"


class DeniedError(SessionError):
    """The socket belongs to another user."""

    reason = "denied"


class BusyError(SessionError):
    """A monitor serves one client, and somebody else is that client."""

    reason = "busy"


class UnreachableError(SessionError):
    """No connection, for a reason that tells nothing of QEMU, such as a network that is down."""

    reason = "connecting"


class UnresponsiveError(SessionError):
    """It greeted, or answered before, and does not answer now."""

    reason = "unresponsive"


class NotQmpError(SessionError):
    """What answers is not a QMP monitor (a human monitor, a guest agent, ``pretty=on``)."""

    reason = "not-qmp"


class LostError(SessionError):
    """An established connection ended.

    Attributes:
        cause: one of ``catalog.states.LostCause``; a label value.
    """

    reason = "lost"

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause


def first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error inside groups of errors."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
