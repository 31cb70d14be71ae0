"""The list of commands: what is on it, and that nothing else is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmp_exporter.model.inputs import Ask
from qmp_exporter.model.replies import (
    Balloon,
    BlockDevices,
    MigrationInfo,
    Spice,
    Status,
    VncServers,
)
from qmp_exporter.qmp.queries import COMMANDS, EVENTS_ON, STATE, allowed, typed
from recorder import LISTED


ON = {"capabilities": [{"capability": "events", "state": True}]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def test_the_list_is_this_one() -> None:
    """Who adds a command that is sent to VMs changes this test, and says so in a review."""
    assert (
        set(COMMANDS)
        == {
            "qmp_capabilities",
            "query-name",
            "query-uuid",
            "query-target",
            "query-status",
            "query-block",
            "query-migrate",
            "query-migrate-capabilities",
            "query-vnc-servers",
            "query-spice",
            "query-balloon",
            "query-jobs",
            "query-blockstats",
            "migrate-set-capabilities",
        }
        == set(LISTED)
    )
    assert EVENTS_ON == ON


def test_all_but_two_only_read() -> None:
    """What is not a query is the negotiation, and the switch for MIGRATION events."""
    others = {command for command in COMMANDS if not command.startswith("query-")}
    assert others == {"qmp_capabilities", "migrate-set-capabilities"}


def test_the_model_can_ask_only_for_what_is_on_the_list() -> None:
    """Every Ask is a query, is read as a type, and is part of the state read at connect."""
    assert {str(ask) for ask in Ask} <= set(STATE) <= COMMANDS


@pytest.mark.parametrize("command", sorted(LISTED))
def test_listed_commands_are_allowed(command: str) -> None:
    """Each with the arguments it may have; none at all where it may have none."""
    for arguments in LISTED[command]:
        assert allowed(command, json.loads(arguments))
        assert allowed(command, None) is (arguments == "{}" or command == "qmp_capabilities")


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("quit", None),
        ("system_reset", None),
        ("human-monitor-command", {"command-line": "info status"}),
        ("query-qmp-schema", None),
        ("query-status ", None),
        ("QUERY-STATUS", None),
        ("", None),
        (None, None),
        (5, None),
        (["query-status"], None),
        ({"query-status": 1}, None),
        ("query-status", {"x": 1}),
        ("query-status", [1]),
        ("query-status", "x"),
        ("qmp_capabilities", {"enable": ["oob", "other"]}),
        ("qmp_capabilities", {"enable": ["other"]}),
        ("qmp_capabilities", {"enable": ["oob"], "x": 1}),
        ("migrate-set-capabilities", None),
        ("migrate-set-capabilities", {}),
        ("migrate-set-capabilities", {"capabilities": []}),
        ("migrate-set-capabilities", {"capabilities": [{"capability": "xbzrle", "state": True}]}),
        ("migrate-set-capabilities", {"capabilities": [{"capability": "events", "state": False}]}),
        ("migrate-set-capabilities", {"capabilities": [*ON["capabilities"], *ON["capabilities"]]}),
        ("migrate-set-capabilities", {**ON, "x": 1}),
    ],
)
def test_anything_else_is_not_allowed(command: object, arguments: object) -> None:
    """Other commands, other arguments, and what is no command at all."""
    assert allowed(command, arguments) is False


@given(st.sampled_from(sorted(LISTED)) | JSON, JSON)
def test_what_is_allowed_is_on_the_list_as_bytes(command: object, arguments: object) -> None:
    """No arguments are allowed that would be other bytes than those of the list."""
    if allowed(command, arguments):
        assert isinstance(command, str)
        assert json.dumps(arguments or {}) in (*LISTED[command], "{}")


@pytest.mark.parametrize(
    ("command", "reply", "kind"),
    [
        ("query-status", {"status": "running", "running": True, "singlestep": False}, Status),
        ("query-block", [{"device": "", "new": 1}], BlockDevices),
        ("query-migrate", {}, MigrationInfo),
        ("query-vnc-servers", [], VncServers),
        ("query-spice", {"enabled": False}, Spice),
        ("query-balloon", {"actual": 5}, Balloon),
    ],
)
def test_replies_become_types(command: str, reply: object, kind: type) -> None:
    """Members that are new or not needed are ignored."""
    assert type(typed(command, reply)) is kind


@given(st.sampled_from(STATE), JSON)
def test_no_reply_is_too_strange(command: str, reply: object) -> None:
    """Whatever a VM answers is a typed reply or none, never an exception."""
    typed(command, reply)


@pytest.mark.parametrize("command", ["query-name", "query-uuid", "quit"])
def test_what_tells_no_state_has_no_type(command: str) -> None:
    """Only the commands of STATE are handed to the model."""
    assert typed(command, {"name": "vm"}) is None
