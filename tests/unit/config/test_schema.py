"""The JSON Schema of the file, against what the file's reader says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from qmp_exporter.config import file, schema
from qmp_exporter.config.flags import FLAGS
from qmp_exporter.config.given import Given
from qmp_exporter.config.members import LISTENER, SOCKET
from qmp_exporter.errors import ConfigError
from unit.config.filed import load_text, refused


SHIPPED = Path(schema.__file__).with_name("schema.json")
DRAFT = jsonschema.Draft7Validator

SOCKETS = (
    "/a/b",
    "unix:b",
    "a:1",
    "tcp:a:1",
    "'[::1]:1'",
    "/a/*",
    "./x",
    "[]",
    "[/a, /b/*, 'c:1']",
    "{path: /a}",
    "[{path: /a, name: x, labels: {}, migration_events: true}]",
    "{path: /a, labels: {tier: gold, _x9: ''}}",
    "{path: /a/*, match: '(?P<vm>x)', exclude: '*x', labels: {a: b}}",
    "{path: 'unix:a?', exclude: ['*x', /b, '*x']}",
    "{path: '[::1]:1', name: x}",
)
LISTENERS = (
    "/a/b",
    "unix:b",
    "[]",
    "[/a, {path: /b}]",
    "{path: /a, mode: '0600', group: kvm, users: alice}",
    "{path: /a, mode: '660', group: 36, users: [alice, 5, 'x', 5]}",
    "{path: /a, group: '', users: [], labels: {a: b}, migration_events: false}",
)
GOOD = (
    "",
    "qmp:\nweb:\n",
    "qmp: {migration_events: false}",
    *(f"qmp: {{socket: {text}}}" for text in SOCKETS),
    *(f"qmp: {{listen: {text}}}" for text in LISTENERS),
    "listen: {mode: '0660', group: kvm, user: [alice, 107]}",
    "listen: {group: '', user: []}",
    "web: {listen_address: ':1', telemetry_path: /, max_requests: 0, page: false}",
    "web: {listen_address: ['[::1]:1', unix:x, a.b:65535], disable_exporter_metrics: true}",
    "vm: {grace: 0s}",
    "vm: {grace: 1h2m3s4ms}",
    "limits: {label_sets: 1, targets: 999999999, lines_per_turn: 1, log_lines: 0}",
    "limits: {line_length: 65536}",
    "limits: {line_length: 1073741824}",
    "limits: {line_length: 64KiB}",
    "log: {level: warn, format: json}",
)
BAD = (
    "5",
    "[]",
    "nope: 1",
    "qmp: 5",
    "qmp: []",
    "qmp: {sockets: /a}",
    *(
        f"qmp: {{socket: {text}}}"
        for text in ("5", "", "nowhere", "'unix:'", "':1'", "[5]", "[[/a]]")
    ),
    *(f"qmp: {{socket: {text}}}" for text in ("'a:'", "tcp:/a", "'a:123456'", "{}", "{name: x}")),
    *(
        f"qmp: {{socket: {{path: {text}}}}}"
        for text in (
            *("5", "x", "/a, nmae: x", "/a, name: ''", "/a, name: 5", "/a/*, name: x"),
            *("/a, match: x", "'[::1]:1', match: x", "/a, exclude: /b", "/a/*, exclude: b"),
            *("/a/*, match: ''", "/a/*, exclude: [5]", "/a/*, exclude: {}", "/a, labels: []"),
            *("/a, labels: {a: 1}", "/a, labels: {a: true}", "/a, labels: {vm: x}"),
            *("/a, labels: {uuid: x}", "/a, labels: {__a: x}", "/a, labels: {a-b: x}"),
            *("/a, migration_events: on", "/a, migration_events: 1", "/a, migration_events: "),
        )
    ),
    *(f"qmp: {{listen: {text}}}" for text in ("5", "", "x", "a:1", "tcp:/a:1", "'unix:'", "{}")),
    *(
        f"qmp: {{listen: {{path: {text}}}}}"
        for text in (
            *("5", "x", "/a, mode: 0600", "/a, mode: '8'", "/a, mode: '1777'", "/a, group: []"),
            *(
                "/a, group: -1",
                "/a, users: ''",
                "/a, users: [a b]",
                "/a, user: x",
                "/a, users: 1.5",
            ),
            *("/a, labels: {monitor: x}", "/a, group: 4294967295"),
        )
    ),
    "qmp: {migration_events: yes}",
    "listen: {mode: 0600}",
    "listen: {mode: 384}",
    "listen: {user: -x}",
    "listen: {group: a:b}",
    "web: {listen_address: []}",
    "web: {listen_address: 1}",
    "web: {listen_address: x}",
    "web: {listen_address: [':1', ':1']}",
    "web: {telemetry_path: m}",
    "web: {telemetry_path: '/a b'}",
    "web: {max_requests: -1}",
    "web: {max_requests: '1'}",
    "web: {max_requests: 1.5}",
    "web: {max_requests: 1000000000}",
    "web: {page: 'on'}",
    "web: {page: 1}",
    "vm: {grace: 300}",
    "vm: {grace: ''}",
    "vm: {grace: 5}",
    "vm: {grace: 1m1h}",
    "limits: {label_sets: 0}",
    "limits: {targets: 0}",
    "limits: {lines_per_turn: 0}",
    "limits: {log_lines: ~}",
    "limits: {line_length: 65535}",
    "limits: {line_length: 1073741825}",
    "limits: {line_length: 1MB}",
    "log: {level: loud}",
    "log: {format: ''}",
)
UNSAID = (
    "qmp: {socket: [/a, {path: /a}]}",  # the same monitor
    "qmp: {socket: [/a, /b/../a]}",
    "qmp: {socket: /a, listen: /a}",
    "listen: {user: [5, '5']}",
    "qmp: {socket: 'a:0'}",  # bounds of what a text says
    "qmp: {socket: 'a:65536'}",
    f"qmp: {{socket: /{'x' * 107}}}",
    "web: {listen_address: 'a:65536'}",
    "web: {listen_address: 'a b:1'}",
    "listen: {user: '4294967295'}",
    "limits: {line_length: 1KiB}",
    "web: {telemetry_path: /-/ready}",
    "qmp: {listen: /a/*}",
    "qmp: {socket: {path: /a/*, match: '('}}",  # what a regular expression is, and makes
    "qmp: {socket: {path: /a/*, match: '(?P<uuid>x)'}}",
    "qmp: {socket: {path: /a/*, match: '(?P<a>x)', labels: {a: b}}}",
    "web: {max_requests: 5.0}",  # how a number is written
    "web: {max_requests: +5}",
    "vm: {grace: !!str 5m}",  # what is YAML, and no JSON
    "vm: &a {}\nlog: *a",
)


def plain(given: Given) -> Any:
    """Return a value of the file as an editor sees it."""
    match given.form:
        case "mapping":
            return {name: plain(member) for name, member in given.members.items()}
        case "list":
            return [plain(item) for item in given.items]
        case "number":
            return yaml.safe_load(given.text) if given.text.isascii() else None
        case "boolean":
            return given.text == "true"
        case "nothing":
            return None
    return given.text


def seen(folder: Path, text: str) -> Any:
    """Return what an editor sees of a file."""
    path = folder / "s.yml"
    path.write_text(text)
    return plain(file.read(str(path)))


def accepted(value: Any) -> bool:
    """Whether the schema accepts it."""
    return bool(DRAFT(json.loads(SHIPPED.read_text())).is_valid(value))


def test_the_schema_is_one() -> None:
    """Of the draft that it names, and of no network."""
    found = json.loads(SHIPPED.read_text())
    assert found == schema.schema()
    DRAFT.check_schema(found)
    assert found["$schema"] == DRAFT.META_SCHEMA["$schema"]
    assert "$ref" not in SHIPPED.read_text()


@pytest.mark.parametrize("text", GOOD)
def test_what_is_good_is_accepted_by_both(text: str, tmp_path: Path) -> None:
    """No red line under what works."""
    load_text(tmp_path, text)
    assert accepted(seen(tmp_path, text))


@pytest.mark.parametrize("text", BAD)
def test_what_is_bad_is_refused_by_both(text: str, tmp_path: Path) -> None:
    """An editor shows it before the exporter does."""
    refused(tmp_path, text)
    assert not accepted(seen(tmp_path, text))


@pytest.mark.parametrize("text", UNSAID)
def test_what_the_schema_cannot_say_is_known(text: str, tmp_path: Path) -> None:
    """These alone are refused by the exporter only."""
    with pytest.raises(ConfigError):
        load_text(tmp_path, text)
    assert accepted(yaml.safe_load(text))


def test_every_key_is_described_with_its_default(tmp_path: Path) -> None:
    """For an editor to show; and the default is a value."""
    found = schema.schema()["properties"]
    for flag in FLAGS:
        if flag.filed:
            section, name = flag.key.split(".")
            entry = found[section]["properties"][name]
            assert entry["description"] == flag.says
            load_text(tmp_path, json.dumps({section: {name: entry["default"]}}))
            assert DRAFT(entry).is_valid(entry["default"])
    for key, members in (("socket", SOCKET), ("listen", LISTENER)):
        mapping = found["qmp"]["properties"][key]["anyOf"][0]["anyOf"][1]["properties"]
        assert {name: inner["description"] for name, inner in mapping.items()} == {
            member.name: member.help for member in members
        }
