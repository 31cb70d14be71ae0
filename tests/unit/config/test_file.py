"""The configuration file: what is refused, and with which words."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from qmp_exporter.config.file import DEEPEST, MOST_BYTES, read
from qmp_exporter.config.load import read_file
from qmp_exporter.config.settings import Settings
from qmp_exporter.errors import ConfigError
from unit.config.filed import load_text, refused


if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "# nothing\n",
        "---\n",
        "---\n...\n",
        "~",
        "\ufeff",
        "qmp:\n",
        "qmp: {}\nweb: ~\n",
    ],
)
def test_a_file_may_be_empty(text: str, tmp_path: Path) -> None:
    """And a section too, as it is when all in it is commented out."""
    assert load_text(tmp_path, text) == Settings()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "qmp:\n  sockets: /a/b\n",
            "2: qmp.sockets: found an unknown key; expected one of socket, listen, migration_even",
        ),
        ("vm:\n  grace: 5m\ngrace: 5m\n", "3: grace: found an unknown key; expected one of qmp, "),
        ("a.b: 1", "1: 'a.b': found an unknown key"),
        ('"a\\nb": 1', "1: 'a\\nb': found an unknown key"),
        ("<<: {vm: {grace: 1m}}", "1: '<<': found an unknown key"),
        (
            "vm:\n  grace: 5m\n\n  grace: 6m\n",
            "4: vm.grace: found a second time; expected once, as in line 2",
        ),
        ("vm: {}\nqmp: {}\nvm: {}\n", "3: vm: found a second time; expected once, as in line 1"),
        (
            "qmp:\n  socket:\n    - /a/b\n    - {path: /c, path: /d}\n",
            "4: qmp.socket[1].path: found a second time; expected once, as in line 4",
        ),
        ("vm: {1: 2}", "1: vm: found the key 1; expected a text"),
        ("true: 2", "1: found the key true; expected a text"),
        ("? \n: 2", "1: found the key nothing; expected a text"),
        ("? [a]\n: 2", "1: found a list or mapping as a key; expected a text"),
        ('"\\ud800": 2', "1: found '\\ud800'; expected characters of a path"),
    ],
)
def test_a_key_that_is_not_one_is_told(text: str, says: str, tmp_path: Path) -> None:
    """With its line; for one that is there twice, also the line of the first."""
    assert refused(tmp_path, text).startswith(says)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- vm", "1: found a list; expected a mapping of qmp, listen, web, vm, limits, otel, log"),
        ("5", "1: found the number 5; expected a mapping of qmp, "),
        ("\nvm: []", "2: vm: found a list; expected a mapping of grace"),
        ("vm: 5m", "1: vm: found '5m'; expected a mapping of grace"),
        ("vm:\n  grace: 300", "2: vm.grace: found the number 300; expected a duration such as 5m"),
        ("vm:\n  grace:\n", "2: vm.grace: found nothing; expected a duration such as 5m"),
        ("vm: {grace: [5m]}", "1: vm.grace: found a list; expected a duration such as 5m"),
        ("vm: {grace: {}}", "1: vm.grace: found a mapping; expected a duration such as 5m"),
        ("vm: {grace: soon}", "1: vm.grace: found 'soon'; expected a duration such as 90s, "),
        ("web: {page: on}", "1: web.page: found 'on'; expected true or false"),
        ("web: {page: 1}", "1: web.page: found the number 1; expected true or false"),
        ("qmp: {migration_events: no}", "found 'no'; expected true or false"),
        ("web: {max_requests: '5'}", "found '5'; expected a number, without quotes"),
        ("web: {max_requests: 5.0}", "found '5.0'; expected a whole number, 0 to 999999999"),
        ("web: {max_requests: -5}", "found '-5'; expected a whole number, 0 to 999999999"),
        ("web: {max_requests: 0x5}", "found '0x5'; expected a whole number, 0 to 999999999"),
        ("web: {telemetry_path: 5}", "web.telemetry_path: found the number 5; expected a text"),
        ("web: {telemetry_path: m}", "web.telemetry_path: found the telemetry path 'm'; expected"),
        ("web: {listen_address: []}", "found an empty list; expected at least 1 item"),
        ("web: {listen_address: [a:1, 5]}", "web.listen_address[1]: found the number 5; expected"),
        ("web: {listen_address: [a:1, [a:2]]}", "web.listen_address[1]: found a list; expected"),
        ("web:\n listen_address:\n  - a:1\n  - a:1", "4: web.listen_address[1]: found it a second"),
        ("limits: {targets: 0}", "limits.targets: found '0'; expected a whole number, 1 to"),
        ("limits: {label_sets: 0}", "limits.label_sets: found '0'; expected a whole number, 1"),
        ("limits: {lines_per_turn: 0}", "limits.lines_per_turn: found '0'; expected a whole"),
        ("limits: {line_length: 65535}", "found '65535'; expected a size of 64KiB to 1GiB"),
        ("limits: {line_length: 1MB}", "found '1MB'; expected a size of 64KiB to 1GiB"),
        ("limits: {line_length: true}", "found true; expected a size such as 1MiB"),
        ("listen: {mode: 0600}", 'listen.mode: found the number 0600; expected a text such as "06'),
        ("listen: {mode: '0999'}", "listen.mode: found '0999'; expected permissions such as 0600"),
        ("listen: {user: [alice, -1]}", "listen.user[1]: found the number -1; expected a name or"),
        ("listen: {user: [1.0]}", "listen.user[0]: found the number 1.0; expected a name or a"),
        ("listen: {user: 4294967295}", "listen.user: found '4294967295'; expected a name, or a"),
        ("listen: {group: true}", "listen.group: found true; expected a name or a number"),
        ("log: {level: loud}", "log.level: found 'loud'; expected debug or info or warn or error"),
        ("log: {format: 5}", "log.format: found the number 5; expected logfmt or json"),
        ("vm: {grace: '" + "x" * 5000 + "'}", "1: vm.grace: found 'xxx"),
    ],
)
def test_a_wrong_value_is_told(text: str, says: str, tmp_path: Path) -> None:
    """Its line and key, what was found and what was expected, in a line that can be read."""
    said = refused(tmp_path, text)
    assert says in said
    assert len(said) < 600


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("vm: &a {grace: 5m}\nb: *a", "2: found the alias *a; expected what it stands for"),
        ("a: &a [*a, *a]", "1: found the alias *a; expected what it stands for"),
        ("vm: !!map {}", "1: found the tag 'tag:yaml.org,2002:map'; expected none"),
        ("vm: {grace: !!str 5m}", "1: found the tag 'tag:yaml.org,2002:str'; expected none"),
        ("\nvm: !!python/object/apply:os.abort []", "2: found the tag 'tag:yaml.org,2002:python"),
        ("vm: ! {}", "1: found the tag '!'; expected none"),
        ("vm: {}\n---\nvm: {}", "2: not YAML: expected a single document in the stream but found"),
        ("vm: grace: 5m", "1: not YAML: mapping values are not allowed here"),
        ("vm:\n\tgrace: 5m", "2: not YAML: while scanning for the next token found character"),
        ("vm: [", "1: not YAML: while parsing a flow node expected the node content"),
        ("\n\nvm: \x07", "3: found the character 0x7; expected YAML"),
        ('\nvm: "\\U11111111"', "2: not YAML: chr() arg not in range"),
        ("%YAML " + "1" * 5000 + ".1\n---\n", "1: not YAML: "),
        ('vm: {grace: "\\0"}', "1: vm.grace: found '\\x00'; expected characters of a path"),
        (b"\xffvm: {}", "1: found the byte 0xff; expected UTF-8"),
        (b"vm: {}\n# caf\xe9\n", "2: found the byte 0xe9; expected UTF-8"),
        ("[" * (DEEPEST + 2), "1: found more than 16 levels; expected fewer"),
        ("[" * 500_000, "1: found more than 16 levels; expected fewer"),
        ("a: {" * 100_000, "1: found more than 16 levels; expected fewer"),
        ("- " * 500_000, "1: found more than 16 levels; expected fewer"),
        ("? " * 500_000, "1: found more than 16 levels; expected fewer"),
    ],
)
def test_yaml_that_is_more_than_plain_is_refused(
    text: str | bytes, says: str, tmp_path: Path
) -> None:
    """What nobody needs here: aliases, tags, documents, and depth enough to end a program."""
    assert refused(tmp_path, text).startswith(says)


def test_no_more_is_read_than_a_file_may_have(tmp_path: Path) -> None:
    """And a file of just that size is read."""
    assert load_text(tmp_path, "#" * MOST_BYTES) == Settings()
    path = tmp_path / "c.yml"
    path.write_text("#" * (MOST_BYTES + 1))
    with pytest.raises(ConfigError) as caught:
        read(str(path))
    assert str(caught.value) == f"{path}: found more than 1048576 bytes; expected fewer"
    with pytest.raises(ConfigError, match=r"^/dev/zero: found more than 1048576 bytes"):
        read("/dev/zero")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Absent, a folder, or not for us."""
    path = tmp_path / "c.yml"
    with pytest.raises(ConfigError) as caught:
        read(str(path))
    assert str(caught.value) == f"{path}: No such file or directory; expected a YAML file"
    with pytest.raises(ConfigError, match="Is a directory; expected a YAML file"):
        read(str(tmp_path))
    path.touch(0o000)
    if os.geteuid():
        with pytest.raises(ConfigError, match="Permission denied; expected a YAML file"):
            read(str(path))


@pytest.mark.parametrize(
    "text", ["on", "off", "yes", "No", "y", "0x", "1_000", "12:30", "=", "2026-01-01"]
)
def test_a_text_is_one_as_in_yaml_1_2(text: str, tmp_path: Path) -> None:
    """And not what YAML 1.1 made of it."""
    found = load_text(tmp_path, f"qmp: {{socket: {{path: /a, labels: {{a: {text}}}}}}}")
    assert found.targets[0].labels == (("a", text),)


@pytest.mark.parametrize(
    "text",
    [
        "5",
        "-5",
        "+5",
        "0600",
        "0o600",
        "0x1f",
        "1.",
        ".5",
        "1e3",
        "-1.5E-3",
        ".inf",
        "-.INF",
        ".nan",
    ],
)
def test_a_number_is_one_as_in_yaml_1_2(text: str, tmp_path: Path) -> None:
    """As an editor sees it; in quotes it is a text."""
    entry = "qmp: {{socket: {{path: /a, labels: {{a: {}}}}}}}"
    said = refused(tmp_path, entry.format(text))
    assert said == (f'1: qmp.socket.labels.a: found the number {text}; expected a text: "{text}"')
    assert load_text(tmp_path, entry.format(f"'{text}'")).targets[0].labels == (("a", text),)


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "false", "False", "FALSE"])
def test_true_and_false_are_those_of_yaml_1_2(text: str, tmp_path: Path) -> None:
    """Small, with a capital, or in capitals."""
    assert load_text(tmp_path, f"web: {{page: {text}}}").page is (text.lower() == "true")


WORDS = st.sampled_from(
    [
        *("qmp", "socket", "listen", "path", "labels", "match", "vm", "grace", "/a/*", "5", "true"),
        *(":", ": ", "- ", "\n", "\n  ", "[", "]", "{", "}", ",", '"', "'", "~", "|", "?", "#"),
        *("&a ", "*a", "!x ", "%YAML 1.1", "---", "\\", "\\x", "\\u", "\t", "\r", "\x85", "@"),
    ]
)


@given(st.text() | st.lists(WORDS).map("".join) | st.binary())
@example("qmp: {socket: {path: '/a/*', match: '" + "(" * 5000 + ")" * 5000 + "'}}")
@example("qmp: {socket: {path: '/a/*', match: 'a{99999999999999999999}'}}")
@example("qmp: {socket: {path: '/a/*', match: '[[a]'}}")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
def test_any_file_is_read_or_refused(tmp_path: Path, text: str | bytes) -> None:
    """In one line, and nothing else is ever raised."""
    path = tmp_path / "c.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    said = ""
    try:
        read_file(str(path))
    except ConfigError as err:
        said = str(err)
    assert len(said.splitlines()) <= 1
