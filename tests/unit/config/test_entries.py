"""Monitors and listeners as mappings of the file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from qmp_exporter.config.members import RESERVED
from qmp_exporter.discovery.pattern import Pattern
from qmp_exporter.model.target import Listening, Target
from unit.config.filed import load_text, refused


if TYPE_CHECKING:
    from pathlib import Path


def test_a_monitor_is_a_text_or_a_mapping(tmp_path: Path) -> None:
    """All that can be said of one."""
    found = load_text(
        tmp_path,
        """
        qmp:
          socket:
            - /run/a.sock
            - b:4444
            - path: /run/c.sock
            - path: unix:/run/d.sock
              name: delta
              labels: {tier: gold, rack: "12"}
              migration_events: false
            - path: "[::1]:4444"
              name: echo
              migration_events: true
        """,
    )
    assert found.patterns == ()
    assert found.targets == (
        Target("/run/a.sock"),
        Target("b:4444", tcp=True),
        Target("/run/c.sock"),
        Target(
            "/run/d.sock",
            name="delta",
            labels=(("tier", "gold"), ("rack", "12")),
            migration_events=False,
        ),
        Target("[::1]:4444", tcp=True, name="echo", migration_events=True),
    )


def test_a_pattern_is_a_glob_or_a_mapping_with_one(tmp_path: Path) -> None:
    """All that can be said of one; the same glob again may look for other names."""
    found = load_text(
        tmp_path,
        r"""
        qmp:
          socket:
            - /run/*.sock
            - path: /srv/**/*.sock
              match: /(?P<customer>[^/]+)/(?P<vm>[^/]+)\.sock$
              exclude: ["*/test-*", /srv/old/*]
              labels: {tier: gold}
              migration_events: false
            - path: /srv/**/*.sock
              exclude: "*.old"
        """,
    )
    assert found.targets == ()
    assert found.patterns == (
        Pattern("/run/*.sock"),
        Pattern(
            "/srv/**/*.sock",
            re.compile(r"/(?P<customer>[^/]+)/(?P<vm>[^/]+)\.sock$"),
            ("*/test-*", "/srv/old/*"),
            (("tier", "gold"),),
            migration_events=False,
        ),
        Pattern("/srv/**/*.sock", excludes=("*.old",)),
    )
    assert found.patterns[1].target("/srv/x/web.sock") == Target(
        "/srv/x/web.sock",
        name="web",
        named=False,
        labels=(("tier", "gold"), ("customer", "x")),
        migration_events=False,
    )


def test_a_listener_is_a_path_or_a_mapping(tmp_path: Path) -> None:
    """What it does not say is as `listen` says, wherever that stands in the file."""
    found = load_text(
        tmp_path,
        """
        qmp:
          listen:
            - /run/a.sock
            - path: /run/b.sock
              mode: "0666"
              group: ""
              users: []
            - path: /run/c.sock
              group: 36
              users: [alice, 1001, "007"]
              labels: {tier: lab}
              migration_events: false
        listen: {mode: "0660", group: kvm, user: 107}
        """,
    )
    assert found.listeners == (
        Listening("/run/a.sock", 0o660, "kvm", ("107",)),
        Listening("/run/b.sock", 0o666, "", ()),
        Listening(
            "/run/c.sock",
            0o660,
            "36",
            ("alice", "1001", "007"),
            labels=(("tier", "lab"),),
            migration_events=False,
        ),
    )


def test_paths_start_in_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the exporter was started; excludes are of whole paths."""
    folder = tmp_path / "etc"
    folder.mkdir()
    monkeypatch.chdir("/")
    found = load_text(
        folder,
        """
        qmp:
          socket: [./a.sock, unix:b.sock, {path: ../*.sock, exclude: "*/x"}]
          listen: [./c.sock, {path: unix:d.sock}]
        web: {listen_address: [unix:http.sock, unix:/run/http.sock]}
        """,
    )
    assert found.targets == (Target(f"{folder}/a.sock"), Target(f"{folder}/b.sock"))
    assert found.patterns == (Pattern(f"{tmp_path}/*.sock", excludes=("*/x",)),)
    assert [listener.path for listener in found.listeners] == [
        f"{folder}/c.sock",
        f"{folder}/d.sock",
    ]
    assert found.listen_addresses == (f"unix:{folder}/http.sock", "unix:/run/http.sock")


def test_the_folder_is_that_of_the_link_to_the_file(tmp_path: Path) -> None:
    """As files of a ConfigMap are links to where nothing else is."""
    (tmp_path / "data").mkdir()
    load_text(tmp_path / "data", "qmp: {socket: ./a.sock}")
    (tmp_path / "c.yml").symlink_to("data/c.yml")
    found = load_text(tmp_path, (tmp_path / "c.yml").read_text())
    assert found.targets == (Target(f"{tmp_path}/a.sock"),)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("{}", ": found no path; expected one"),
        ("{name: x}", ": found no path; expected one"),
        ("5", ": found the number 5; expected a path, or a mapping with one"),
        ("", ": found nothing; expected a path, or a mapping with one"),
        ("[/a/b]", ": found a list; expected a path, or a mapping with one"),
        ("{path: 5}", ".path: found the number 5; expected a path"),
        ("{path: nowhere}", ".path: found 'nowhere'; expected the path of a socket, with a slash"),
        (
            "{path: vm:70000}",
            ".path: found 'vm:70000'; expected the path of a socket, with a slash",
        ),
        ("{path: /a, nmae: x}", ".nmae: found an unknown key; expected one of path, name, match, "),
        ("{path: /a, name: ''}", ".name: found ''; expected a text that is not empty"),
        ("{path: /a, name: 5}", '.name: found the number 5; expected a text: "5"'),
        ("{path: /a/*, name: x}", ".name: found one name for a glob; expected match, which makes"),
        ("{path: /a, match: x}", ".match: found it with the path of one monitor; expected it only"),
        ("{path: 'a:1', match: x}", ".match: found it with the path of one monitor; expected it"),
        ("{path: /a, exclude: []}", ".exclude: found it with the path of one monitor; expected it"),
        ("{path: /a/*, match: (}", ".match: found '('; expected a regular expression: missing )"),
        ("{path: /a/*, match: ''}", ".match: found ''; expected a regular expression that is not"),
        ("{path: /a/*, match: [x]}", ".match: found a list; expected a regular expression"),
        ("{path: /a/*, match: 'a{99999999999}'}", ".match: found 'a{99999999999}'; expected a reg"),
        (
            "{path: /a/*, exclude: x}",
            ".exclude: found 'x'; expected a glob that begins with / or *",
        ),
        ("{path: /a/*, exclude: [/b, 5]}", ".exclude[1]: found the number 5; expected a glob that"),
        ("{path: /a, labels: [x]}", ".labels: found a list; expected a mapping"),
        ("{path: /a, labels: {a: 1}}", '.labels.a: found the number 1; expected a text: "1"'),
        ("{path: /a, labels: {a: true}}", '.labels.a: found true; expected a text: "true"'),
        ("{path: /a, labels: {a: }}", ".labels.a: found nothing; expected a text"),
        ("{path: /a, labels: {a: {}}}", ".labels.a: found a mapping; expected a text"),
        ("{path: /a, migration_events: on}", ".migration_events: found 'on'; expected true or"),
    ],
)
def test_a_wrong_monitor_is_told(entry: str, says: str, tmp_path: Path) -> None:
    """With the place in the list."""
    text = f"qmp:\n  socket:\n    - /z\n    - {entry}\n"
    assert refused(tmp_path, text).startswith(f"4: qmp.socket[1]{says}")


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("in.sock", ": found 'in.sock'; expected the path of a socket, with a slash in it"),
        ("/a/*", ": found '/a/*'; expected the path of one socket, not a glob of paths"),
        ("{mode: '0600'}", ": found no path; expected one"),
        ("{path: '0.0.0.0:1'}", ".path: found '0.0.0.0:1'; expected the path of a socket"),
        ("{path: /a, mode: 0660}", '.mode: found the number 0660; expected a text such as "0660"'),
        ("{path: /a, mode: '8'}", ".mode: found '8'; expected permissions such as 0600 or 0660"),
        ("{path: /a, group: [kvm]}", ".group: found a list; expected a name or a number"),
        ("{path: /a, users: [a, b c]}", ".users[1]: found 'b c'; expected a name, or a number up"),
        ("{path: /a, users: ''}", ".users: found ''; expected a name, or a number up to"),
        ("{path: /a, user: alice}", ".user: found an unknown key; expected one of path, mode, "),
        ("{path: /a, labels: {vm: a}}", ".labels.vm: found the label 'vm'; expected a name of"),
    ],
)
def test_a_wrong_listener_is_told(entry: str, says: str, tmp_path: Path) -> None:
    """With the place in the list."""
    text = f"qmp:\n  listen:\n    - /z\n    - {entry}\n"
    assert refused(tmp_path, text).startswith(f"4: qmp.listen[1]{says}")


@pytest.mark.parametrize(
    ("key", "first", "second"),
    [
        ("socket", "/a/b", "{path: /a//b, name: x}"),
        ("socket", "a:1", "tcp:a:1"),
        ("socket", "/a/*", "{path: /a/*}"),
        ("listen", "/a/b", "{path: unix:/a/b, mode: '0660'}"),
    ],
)
def test_a_path_is_there_once(key: str, first: str, second: str, tmp_path: Path) -> None:
    """Or it would be unclear which of the two says how it is."""
    said = refused(tmp_path, f"qmp:\n  {key}:\n    - {first}\n    - {second}\n")
    assert said == f"4: qmp.{key}[1]: found it a second time; expected each once"


@pytest.mark.parametrize("name", [*RESERVED, "__a", "a-b", "1a", "é", "a b", "", "a\\n"])
def test_a_label_is_a_name_that_is_free(name: str, tmp_path: Path) -> None:
    """Of monitors, patterns and listeners; not free are vm and those of the metric they join."""
    assert set(RESERVED) == {"vm", "name", "uuid", "qemu_version", "arch", "monitor"}
    for key, path in (("socket", "/a"), ("socket", "/a/*"), ("listen", "/a")):
        text = f'qmp: {{{key}: {{path: {path}, labels: {{b: x, "{name}": x}}}}}}'
        assert f"found the label {name!r}".replace("\\\\", "\\") in refused(tmp_path, text)


@pytest.mark.parametrize("name", ["name", "uuid", "monitor", "__a", "é", "tier"])
def test_a_group_makes_a_label_that_is_free(name: str, tmp_path: Path) -> None:
    """Neither of the metric's own, nor of Prometheus' own, nor one that is static."""
    text = f"qmp: {{socket: {{path: /a/*, labels: {{tier: x}}, match: '(?P<{name}>.)'}}}}"
    said = refused(tmp_path, text)
    assert said.startswith(f"1: qmp.socket.match: found the group {name!r}; expected a name of")


def test_a_path_that_no_name_is_found_in_is_the_patterns_affair(tmp_path: Path) -> None:
    """A regular expression needs no group: it may only say what to watch."""
    found = load_text(tmp_path, "qmp: {socket: {path: /a/*, match: '[0-9]+'}}")
    assert found.patterns == (Pattern("/a/*", re.compile("[0-9]+")),)
