"""How the texts of settings are read and written."""

from __future__ import annotations

import contextlib
import glob
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmp_exporter.config import texts
from qmp_exporter.config.texts import (
    parse_count,
    parse_duration,
    parse_group,
    parse_listener,
    parse_mode,
    parse_number,
    parse_owner,
    parse_size,
    parse_socket,
    show_duration,
    show_mode,
    show_size,
)
from qmp_exporter.discovery.pattern import Pattern
from qmp_exporter.errors import ConfigError
from qmp_exporter.model.target import Target


if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
        ("tcp:/run/vm.sock:1", "'tcp:/run/vm.sock:1'"),
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


@pytest.mark.parametrize("text", ["0", "000", "", "-1", "1.0", "1234567890"])
def test_a_count_is_not_nothing(text: str) -> None:
    """A limit of 0 rows, targets or lines would end the exporter's work."""
    assert parse_count("1") == 1
    assert parse_count("999999999") == 999_999_999
    with pytest.raises(ConfigError, match="expected a whole number, 1 to 999999999"):
        parse_count(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("65536", 65_536),
        ("64KiB", 65_536),
        ("1MiB", 1_048_576),
        ("1GiB", 1_073_741_824),
        ("100000", 100_000),
        ("1073741823", 1_073_741_823),
    ],
)
def test_a_size_is_bytes_or_has_a_unit(text: str, size: int) -> None:
    """Of powers of two, as memory has them."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "65535", "63KiB", "2GiB", "1073741825", "1MB", "1 MiB", "KiB", "-1MiB"),
        *("1.5MiB", "9" * 5000, "9" * 5000 + "KiB", "64kib", "64KiB\n"),
    ],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    """And what is too short for an answer of QEMU, or too long to be meant."""
    with pytest.raises(ConfigError, match="expected a size of 64KiB to 1GiB, such as 1MiB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "mode"), [("0600", 0o600), ("660", 0o660), ("0000", 0), ("777", 0o777)]
)
def test_a_mode_is_octal(text: str, mode: int) -> None:
    """As chmod takes it."""
    assert parse_mode(text) == mode


@pytest.mark.parametrize("text", ["", "0o600", "0680", "60", "1777", "04755", "rw-------", "0600 "])
def test_what_is_no_mode_is_refused(text: str) -> None:
    """Bits beyond those of reading, writing and executing too."""
    with pytest.raises(ConfigError, match="expected permissions such as 0600 or 0660"):
        parse_mode(text)


@pytest.mark.parametrize("text", ["root", "libvirt-qemu", "0", "107", "4294967294", "EX\\ann$"])
def test_an_owner_is_a_name_or_a_number(text: str) -> None:
    """Whether there is one is not asked: the answer may change until it is needed."""
    assert parse_owner(text) == text
    assert parse_group(text) == text


@pytest.mark.parametrize(
    "text", ["-1", "a b", "a:b", "a/b", "a\n", "4294967295", "9" * 5000, "x" * 257]
)
def test_what_is_no_owner_is_refused(text: str) -> None:
    """The number that means none to the kernel is one of them."""
    for parse in (parse_owner, parse_group):
        with pytest.raises(ConfigError, match="expected a name, or a number up to 4294967294"):
            parse(text)


def test_only_a_group_may_be_nothing() -> None:
    """It is the exporter's own, then."""
    assert parse_group("") == ""
    with pytest.raises(ConfigError, match="found ''; expected a name"):
        parse_owner("")


def test_a_listener_is_the_path_of_one_socket(tmp_path: Path) -> None:
    """Absolute, from wherever it starts."""
    assert parse_listener("/run//x/in.sock") == "/run/x/in.sock"
    assert parse_listener("unix:in.sock", str(tmp_path)) == f"{tmp_path}/in.sock"
    assert parse_listener("./in.sock") == f"{os.getcwd()}/in.sock"  # noqa: PTH109 - as text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected the path of a socket, with a slash in it"),
        ("in.sock", "expected the path of a socket, with a slash in it"),
        ("0.0.0.0:4444", "expected the path of a socket, with a slash in it"),
        ("tcp:/a:1", "expected the path of a socket, with a slash in it"),
        ("unix:", "expected the path of a socket"),
        ("/run/*.sock", "expected the path of one socket, not a glob of paths"),
        ("/" + "x" * 107, "found a path of 108 bytes"),
    ],
)
def test_what_is_no_listener_is_refused(text: str, says: str) -> None:
    """QEMU dials unix sockets, one at a time."""
    with pytest.raises(ConfigError) as caught:
        parse_listener(text)
    assert says in str(caught.value)


def test_a_path_starts_in_the_folder_it_is_given(tmp_path: Path) -> None:
    """Of monitors, globs and HTTP alike; one that is absolute starts nowhere."""
    base = str(tmp_path)
    assert parse_socket("./vm.sock", base) == Target(f"{tmp_path}/vm.sock")
    assert parse_socket("unix:vm.sock", base) == Target(f"{tmp_path}/vm.sock")
    assert parse_socket("../*.sock", base) == Pattern(f"{tmp_path.parent}/*.sock")
    assert parse_socket("/a/vm.sock", base) == Target("/a/vm.sock")
    assert parse_socket("vm:1", base) == Target("vm:1", tcp=True)
    assert texts.parse_address("unix:h.sock", base) == f"unix:{tmp_path}/h.sock"
    assert texts.parse_address("unix:/h.sock", base) == "unix:/h.sock"
    assert texts.parse_address("localhost:1", base) == "localhost:1"


def test_a_folder_is_no_glob_whatever_its_name(tmp_path: Path) -> None:
    """What stands in the text alone can be a wildcard."""
    folder = tmp_path / "a[b]*"
    folder.mkdir()
    (folder / "vm.sock").touch()
    for text in ("./vm.sock", "./*.sock"):
        found = parse_socket(text, str(folder))
        assert isinstance(found, Pattern)
        assert glob.glob(found.path) == [str(folder / "vm.sock")]  # noqa: PTH207 - as text


def test_a_working_directory_that_is_gone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And matters only to paths that start there."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert parse_socket("/a/b") == Target("/a/b")
    with pytest.raises(ConfigError, match=r"found '\./b' in a working directory that is gone"):
        parse_socket("./b")


@given(st.integers(0, 999_999_999 * 3_600_000))
def test_a_duration_is_written_as_it_is_read(milliseconds: int) -> None:
    """To the millisecond, for any duration."""
    seconds = milliseconds / 1000
    assert parse_duration(show_duration(seconds)) == seconds


@given(st.integers(65_536, 1 << 30) | st.integers(64, 1 << 20).map(lambda n: n * 1024))
def test_a_size_is_written_as_it_is_read(size: int) -> None:
    """With the greatest unit that fits."""
    assert parse_size(str(show_size(size))) == size


def test_units_are_as_great_as_can_be() -> None:
    """For people to read."""
    assert [show_size(n) for n in (1 << 20, 65_536, 65_537, 1 << 30)] == [
        "1MiB",
        "64KiB",
        65_537,
        "1GiB",
    ]
    durations = [show_duration(n) for n in (0.0, 300.0, 5400.5, 90.0)]
    assert durations == ["0s", "5m", "1h30m500ms", "1m30s"]
    assert [show_mode(n) for n in (0o600, 0, 0o77)] == ["0600", "0000", "0077"]


@given(st.text() | st.from_regex(r"(unix:|tcp:)?[0-9a-z:/*]*"))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else is ever raised."""
    for name in dir(texts):
        if name.startswith("parse_"):
            with contextlib.suppress(ConfigError):
                getattr(texts, name)(text)


@pytest.mark.parametrize("path", ["/run/a\0b", "/run/a\ud800"])
@pytest.mark.parametrize("parse", [texts.parse_socket, texts.parse_listener])
def test_a_path_that_no_file_can_have_is_refused(parse: Callable[[str], object], path: str) -> None:
    """The escapes of YAML can write what no file system takes."""
    with pytest.raises(ConfigError, match="a path that a file can have"):
        parse(path)
