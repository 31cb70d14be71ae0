"""Numbers, durations and other scalars, as Go's yaml.v2 reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qmp_exporter.config import go_yaml
from qmp_exporter.errors import ConfigError


if TYPE_CHECKING:
    from pathlib import Path

    from qmp_exporter.config.given import Given

MOST = 2**63 - 1


def of(folder: Path, text: str) -> Given:
    """The value of a file."""
    path = folder / "web.yml"
    path.write_text(text)
    return go_yaml.read_go(str(path))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        ("+7", 7),
        ("-7", -7),
        ("010", 8),
        ("0o10", 8),
        ("0x1F", 31),
        ("0b101", 5),
        ("-0b11", -3),
        ("08", 8),
        ("1_000", 1000),
        ("1.9", 1),
        ("-1.9", -1),
        ("1e3", 1000),
        ("~", 0),
        ("", 0),
        (f"{MOST}", MOST),
        (f"-{MOST + 1}", -MOST - 1),
    ],
)
def test_a_number_is_read_as_go_reads_it(text: str, number: int, tmp_path: Path) -> None:
    """Octal with a 0 in front, as YAML 1.1 has it; of a fraction, the whole part."""
    assert go_yaml.integer(of(tmp_path, text)) == number


@pytest.mark.parametrize(
    "text",
    ['"7"', "seven", "true", "[7]", f"{MOST + 1}", "1e300", ".inf", ".nan", "0x", "2001-01-01"],
)
def test_what_is_no_number_is_refused(text: str, tmp_path: Path) -> None:
    """In quotes it is a text, to Go too."""
    with pytest.raises(ConfigError, match="expected a number"):
        go_yaml.integer(of(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1s", 10**9),
        ("1h30m", 5400 * 10**9),
        ("1.5s", 1_500_000_000),
        (".5s", 500_000_000),
        ("1.s", 10**9),
        ("100ms", 10**8),
        ("3us", 3000),
        ("3\u00b5s", 3000),
        ("3\u03bcs", 3000),
        ("4ns", 4),
        ("0.4ns", 0),
        ("-1s", -(10**9)),
        ("+1s", 10**9),
        ("1s1s", 2 * 10**9),
        ("1s1h", 3601 * 10**9),
        ('"0"', 0),
        ("5", 5),
        ("~", 0),
    ],
)
def test_a_duration_is_read_as_go_reads_it(text: str, nanoseconds: int, tmp_path: Path) -> None:
    """Parts with units, in any order; a number without one is of nanoseconds."""
    assert go_yaml.nanoseconds(of(tmp_path, text)) == nanoseconds


@pytest.mark.parametrize(
    "text",
    ["1d", "often", '""', '"5"', "1 s", "1S", "s", ".s", "1.2.3s", "1h-30m", "true", "2562048h"],
)
def test_what_is_no_duration_is_refused(text: str, tmp_path: Path) -> None:
    """With what was found."""
    with pytest.raises(ConfigError, match=r"expected a (duration|number)"):
        go_yaml.nanoseconds(of(tmp_path, text))


@pytest.mark.parametrize("text", ["yes", "Y", "on", "TRUE", "true"])
def test_yes_and_on_are_true(text: str, tmp_path: Path) -> None:
    """As in YAML 1.1, and their opposites false, as is nothing."""
    assert go_yaml.boolean(of(tmp_path, text))
    opposite = {"yes": "no", "Y": "n", "on": "Off", "TRUE": "FALSE", "true": ""}[text]
    assert not go_yaml.boolean(of(tmp_path, opposite))


@pytest.mark.parametrize("text", ["yes", "No", "1", "0600", "1.50", "2001-01-01", "a b", "0x1F"])
def test_a_text_is_as_it_is_written(text: str, tmp_path: Path) -> None:
    """Whatever it may be to YAML; the name of a key, too."""
    assert go_yaml.text(of(tmp_path, text)) == text
    assert list(go_yaml.members(of(tmp_path, f"{text}: 1"))) == [text]


def test_an_alias_stands_for_a_scalar(tmp_path: Path) -> None:
    """And for nothing that can be large."""
    found = go_yaml.members(of(tmp_path, "a: &x 1\nb: *x\n"))
    assert go_yaml.integer(found["b"]) == 1
    assert found["b"].place.endswith("web.yml:1")
    with pytest.raises(ConfigError, match=r"web.yml:2: found the alias \*x; expected one of a"):
        of(tmp_path, "a: &x [1]\nb: *x\n")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=200)
def test_any_bytes_are_a_value_or_an_error(tmp_path: Path, content: bytes) -> None:
    """Never an exception of another kind."""
    path = tmp_path / "web.yml"
    path.write_bytes(content)
    said = ""
    try:
        go_yaml.read_go(str(path))
    except ConfigError as err:
        said = str(err)
    assert said.isprintable()
