"""The log: one line a record on stderr, as logfmt or JSON."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Final

from qmp_exporter.telemetry.limiter import Limiter


FORMATS: Final = ("logfmt", "json")
LEVELS: Final = ("debug", "info", "warn", "error")

_PLAIN: Final = re.compile(r"[^\s\"=]+")


limiter: Final = Limiter()
"""Of all lines of the log."""


def configure(level: str, form: str, lines: int = 0) -> None:
    """Send the log of this package, and warnings of all others, to stderr.

    Args:
        level: one of ``LEVELS``, the least that is logged.
        form: one of ``FORMATS``.
        lines: a second, at most; 0 for no limit.
    """
    limiter.set(lines)
    handler = logging.StreamHandler()
    handler.addFilter(limiter)
    handler.setFormatter(JsonFormatter() if form == "json" else LogfmtFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("qmp_exporter").setLevel({"warn": "WARNING"}.get(level, level.upper()))


def iso(seconds: float, precision: str) -> str:
    """Return Unix seconds as RFC 3339 has it.

    Args:
        seconds: which.
        precision: as ``datetime.isoformat`` takes it.
    """
    when = datetime.fromtimestamp(seconds, UTC)
    return when.isoformat(timespec=precision).replace("+00:00", "Z")


def _fields(record: logging.LogRecord, formatter: logging.Formatter) -> dict[str, str]:
    fields = {
        "ts": iso(record.created, "milliseconds"),
        "level": record.levelname.lower().replace("warning", "warn"),
        "logger": record.name.removeprefix("qmp_exporter."),
        "msg": record.getMessage(),
    }
    if record.exc_info:
        fields["exception"] = formatter.formatException(record.exc_info)
    return fields


class LogfmtFormatter(logging.Formatter):
    """``ts=... level=... logger=... msg="..."``, whatever the message holds on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        return " ".join(f"{key}={_quoted(v)}" for key, v in _fields(record, self).items())


class JsonFormatter(logging.Formatter):
    """The same fields as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        return json.dumps(_fields(record, self))


def _quoted(value: str) -> str:
    plain = value.isprintable() and _PLAIN.fullmatch(value)
    return value if plain else json.dumps(value)
