"""The tree of exceptions."""

from __future__ import annotations

import re
from typing import Any

import pytest

from qmp_exporter import errors
from qmp_exporter.catalog.states import LostCause, TargetState
from qmp_exporter.errors import DecodeError, LostError, QmpExporterError, SessionError


def below(kind: type[QmpExporterError]) -> list[type[QmpExporterError]]:
    """A class and all that derive from it."""
    return [kind, *(one for child in kind.__subclasses__() for one in below(child))]


def test_the_docstring_draws_every_class_with_its_reason() -> None:
    """Who reads the tree reads all of it, and it is right."""
    drawn = dict(re.findall(r"── (\w+) +(\S+) ", errors.__doc__ or ""))
    drawn.pop("SessionError")  # drawn without one: a base only
    drawn["LostError"] = "lost"
    found = {one.__name__: one.reason for one in below(QmpExporterError)}
    base = {"QmpExporterError": "error", "SessionError": "error"}
    assert found == drawn | base


def test_every_end_of_an_attempt_is_a_state_of_the_target() -> None:
    """``reason`` becomes a label value as it is."""
    for kind in below(SessionError):
        if kind not in {SessionError, LostError}:
            TargetState(kind.reason)
    for cause in LostCause:
        assert LostError(cause, "why").cause == cause


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (DecodeError("STOP", "why"), "STOP: why"),
        (LostError("eof", "why"), "why"),
        (errors.ConfigError("why"), "why"),
    ],
)
def test_the_text_of_an_error_says_why(made: QmpExporterError, text: str) -> None:
    """It is what people are shown."""
    assert str(made) == text


def test_what_is_needed_of_an_error_is_kept() -> None:
    """The event for the counter, the cause for the counter."""
    attributes: dict[str, Any] = vars(DecodeError("STOP", "why")) | vars(LostError("eof", ""))
    assert attributes == {"event": "STOP", "cause": "eof"}
