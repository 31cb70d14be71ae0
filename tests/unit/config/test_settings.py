"""How the texts of settings are read."""

from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmp_exporter.config.settings import (
    Settings,
    parse_duration,
    parse_number,
    parse_socket,
)
from qmp_exporter.discovery.pattern import Pattern
from qmp_exporter.errors import ConfigError
from qmp_exporter.model.target import Target


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("/run/qemu/web01.sock", Target("/run/qemu/web01.sock")),
        ("unix:/run/qemu/web01.sock", Target("/run/qemu/web01.sock")),
        ("/run//qemu/../qemu/web01.sock", Target("/run/qemu/web01.sock")),
        ("./web01.sock", Target(f"{os.getcwd()}/web01.sock")),  # noqa: PTH109 - as text
        ("unix:web01.sock", Target(f"{os.getcwd()}/web01.sock")),  # noqa: PTH109 - as text
        ("/run/a b.sock", Target("/run/a b.sock")),
        ("/run/vm:1.sock", Target("/run/vm:1.sock")),
        ("127.0.0.1:4444", Target("127.0.0.1:4444", tcp=True)),
        ("vm.example:4444", Target("vm.example:4444", tcp=True)),
        ("[::1]:4444", Target("[::1]:4444", tcp=True)),
        ("tcp:vm.example:65535", Target("vm.example:65535", tcp=True)),
        ("/" + "x" * 106, Target("/" + "x" * 106)),
    ],
)
def test_a_monitor_is_a_path_with_a_slash_or_host_and_port(text: str, target: Target) -> None:
    """`unix:` and `tcp:` say which where it could be either."""
    assert parse_socket(text) == target


@pytest.mark.parametrize("text", ["/run/*/qmp", "/run/vm?.sock", "/run/[ab].sock"])
def test_a_path_with_a_wildcard_is_a_pattern(text: str) -> None:
    """Of monitors to look for, whether they are there or not."""
    assert parse_socket(text) == Pattern(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "''"),
        ("vm", "'vm'"),
        ("vm:", "'vm:'"),
        (":4444", "':4444'"),
        ("vm:0", "'vm:0'"),
        ("vm:65536", "'vm:65536'"),
        ("vm:-1", "'vm:-1'"),
        ("vm:http", "'vm:http'"),
        ("vm:44 44", "'vm:44 44'"),
        ("vm:" + "9" * 5000, "'vm:9"),
        ("tcp:/run/vm.sock", "'tcp:/run/vm.sock'"),
        ("unix:", "'unix:'"),
        ("/" + "x" * 107, "108 bytes"),
        ("/" + "\u00e9" * 54, "109 bytes"),
    ],
)
def test_what_is_no_monitor_is_refused(text: str, says: str) -> None:
    """With what was found, and what was expected."""
    with pytest.raises(ConfigError, match="expected") as caught:
        parse_socket(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("1h2m3s4ms", 3723.004),
        ("250ms", 0.25),
        ("0s", 0),
        ("08s", 8),
        ("999999h", 999_999 * 3600),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, seconds: float) -> None:
    """As Prometheus writes them."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "5 m", "-5m", "1.5h", "5m1h", "1d", "5M", "1e3s", "inf", "9" * 400 + "h"],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A number without a unit is one of them: of what?"""
    with pytest.raises(ConfigError, match="expected a duration such as 90s, 5m or 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("7", 7), ("007", 7), ("10000", 10_000)])
def test_a_number_is_digits(text: str, number: int) -> None:
    """Not negative, and whole."""
    assert parse_number(text) == number


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "1e3", "x", " 1", "\u0661", "9" * 5000])
def test_what_is_no_number_is_refused(text: str) -> None:
    """What Python would take for one included."""
    with pytest.raises(ConfigError, match="expected a whole number"):
        parse_number(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else is ever raised."""
    for parse in (parse_socket, parse_duration, parse_number):
        with contextlib.suppress(ConfigError):
            parse(text)


def test_the_defaults_are_the_documented_ones() -> None:
    """What happens where nothing is set."""
    found = Settings()
    assert found.listen_addresses == (":10767",)
    assert (found.telemetry_path, found.max_requests, found.page) == ("/metrics", 40, True)
    assert (found.vm_grace, found.label_sets, found.migration_events) == (300.0, 256, True)
    assert (found.log_level, found.log_format, found.process_metrics) == ("info", "logfmt", True)
