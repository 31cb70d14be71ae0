"""Why an export failed, in words."""

from __future__ import annotations

import socket
import ssl
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import urllib3

from qmp_exporter.telemetry.otel.outcome import Outcome
from qmp_exporter.telemetry.otel.reasons import reason_of


def wrapped(inner: Exception) -> requests.ConnectionError:
    """As requests and urllib3 do it."""
    pool = urllib3.HTTPConnectionPool("localhost")
    return requests.ConnectionError(urllib3.exceptions.MaxRetryError(pool, "/v1/traces", inner))


def caused(outer: Exception, inner: Exception) -> Exception:
    """An error that was raised from another."""
    outer.__cause__ = inner
    return outer


def refused(inner: OSError) -> requests.ConnectionError:
    """As it is where there is no connection."""
    new = urllib3.exceptions.NewConnectionError(SimpleNamespace(host="c"), "no")  # type: ignore[arg-type]
    return wrapped(caused(new, inner))


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (None, 503, "503 Service Unavailable"),
        (None, 599, "status 599"),
        (None, None, "it takes too long"),
        (ValueError("x"), None, "x"),
        (ValueError(), None, "ValueError"),
        (refused(OSError(111, "Connection refused")), None, "Connection refused"),
        (
            refused(socket.gaierror(-2, "Name or service not known")),
            None,
            "Name or service not known",
        ),
        (requests.ReadTimeout("read timed out"), None, "no answer in time"),
        (wrapped(urllib3.exceptions.ConnectTimeoutError()), None, "no answer in time"),
        (SimpleNamespace(details=lambda: "why"), "UNAVAILABLE", "UNAVAILABLE: why"),
        (SimpleNamespace(details=lambda: ""), "UNAVAILABLE", "UNAVAILABLE"),
        (None, "UNAVAILABLE", "UNAVAILABLE"),
    ],
)
def test_the_reason_is_what_is_inside(error: Any, status: Any, says: str) -> None:
    """Not what libraries put around it."""
    assert reason_of(error, status) == says


def test_a_certificate_that_is_not_trusted_is_told_as_such() -> None:
    """With OpenSSL's words for why."""
    inner = ssl.SSLCertVerificationError(1, "certificate verify failed")
    inner.verify_message = "self-signed certificate"
    error = requests.exceptions.SSLError(wrapped(urllib3.exceptions.SSLError(inner)))
    assert reason_of(error) == "its certificate is not trusted: self-signed certificate"


def test_errors_in_a_circle_have_an_end() -> None:
    """An error may be its own context by a detour."""
    one, two = ValueError("one"), ValueError("two")
    one.__context__, two.__context__ = two, one
    assert reason_of(one) == "two"


def test_an_answer_that_is_no_protobuf_rejects_nothing() -> None:
    """Some answer with JSON, or with nothing."""
    outcome = Outcome("traces")
    for answer in (b"", b"{}", b"\xff\xff"):
        outcome.answer = answer
        assert outcome.rejected == (0, "")
