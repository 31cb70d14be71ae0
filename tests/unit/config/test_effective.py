"""All settings as a file, and that file as the same settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qmp_exporter.config.effective import effective
from qmp_exporter.config.flags import FLAGS
from qmp_exporter.config.load import settings as load
from qmp_exporter.config.members import LISTENER, RESERVED, SOCKET
from qmp_exporter.config.settings import Settings
from qmp_exporter.discovery.pattern import Pattern
from qmp_exporter.model.target import Listening, Target
from unit.config.filed import load_text


if TYPE_CHECKING:
    from pathlib import Path

# What a path can have, without wildcards; the lone surrogates are bytes that are not UTF-8.
CHARACTERS = st.characters(exclude_characters="\0/*?[]", exclude_categories=["Cs"])
BYTES = st.sampled_from(["\udc80", "\udcff"])
NAMES = st.text(CHARACTERS | BYTES, min_size=1, max_size=10).filter(lambda t: t not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=2).map(lambda names: "/" + "/".join(names))
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
LABELS = st.dictionaries(
    st.from_regex(r"\A(?!__)[a-zA-Z_][a-zA-Z0-9_]{0,9}\Z").filter(lambda t: t not in RESERVED),
    TEXTS | st.sampled_from(["", "on", "12", "0600", "1e3", "~", "2026-01-01", "=", "<<", "x: y"]),
    max_size=3,
).map(lambda found: tuple(found.items()))
MIGRATION = st.sampled_from([None, True, False])
OWNERS = st.from_regex(r"\A[a-z_][a-z0-9_.-]{0,8}\Z") | st.integers(0, 2**32 - 2).map(str)
TARGETS = st.builds(
    Target, PATHS, name=TEXTS, labels=LABELS, migration_events=MIGRATION
) | st.builds(
    Target,
    st.sampled_from(["a:1", "[::1]:65535", "unix:7", "tcp:tcp:8"]),
    tcp=st.just(value=True),
    name=TEXTS,
    labels=LABELS,
    migration_events=MIGRATION,
)
PATTERNS = st.builds(
    Pattern,
    PATHS.map(lambda path: f"{path}/*"),
    st.sampled_from([None, re.compile(r"(?P<vm>[^/]+)\.sock$"), re.compile(r"\d '\"é")]),
    st.lists(PATHS.map(lambda path: f"*{path}"), max_size=2).map(tuple),
    LABELS,
    MIGRATION,
)
LISTENERS = st.builds(
    Listening,
    PATHS.map(lambda path: f"/in{path}"),
    st.integers(0, 0o777),
    st.just("") | OWNERS,
    st.lists(OWNERS, max_size=3).map(tuple),
    LABELS,
    MIGRATION,
)
SETTINGS = st.builds(
    Settings,
    targets=st.lists(TARGETS, max_size=3, unique_by=lambda found: found.address).map(tuple),
    patterns=st.lists(PATTERNS, max_size=3, unique=True).map(tuple),
    listeners=st.lists(LISTENERS, max_size=3, unique_by=lambda found: found.path).map(tuple),
    listen_addresses=st.lists(
        st.sampled_from([":0", ":10767", "[::1]:1", "a.b:65535"]) | PATHS.map("unix:{}".format),
        min_size=1,
        max_size=3,
        unique=True,
    ).map(tuple),
    systemd_socket=st.booleans(),
    telemetry_path=st.sampled_from(["/", "/m", "/a/b"]),
    max_requests=st.integers(0, 999_999_999),
    page=st.booleans(),
    process_metrics=st.booleans(),
    vm_grace=st.integers(0, 10**10).map(lambda number: number / 1000),
    label_sets=st.integers(1, 999_999_999),
    migration_events=st.booleans(),
    log_level=st.sampled_from(["debug", "info", "warn", "error"]),
    log_format=st.sampled_from(["logfmt", "json"]),
    max_targets=st.integers(1, 999_999_999),
    max_line=st.integers(65_536, 1 << 30),
    max_lines=st.integers(1, 999_999_999),
    max_log_lines=st.integers(0, 999_999_999),
    log_events=st.booleans(),
    max_log_events=st.integers(0, 999_999_999),
    listen_mode=st.integers(0, 0o777),
    listen_group=st.just("") | OWNERS,
    listen_users=st.lists(OWNERS, max_size=3, unique=True).map(tuple),
    web_config_file=st.just("") | PATHS,
    otel_events=st.sampled_from(["span", "log", "both"]),
    otel_client_addresses=st.booleans(),
    otel_shutdown_timeout=st.integers(0, 10**10).map(lambda number: number / 1000),
    otel=st.none(),  # is not of the file
)


@given(SETTINGS)
@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=100)
def test_what_is_shown_makes_the_same_settings(tmp_path: Path, found: Settings) -> None:
    """Whatever is set, and as a file it is UTF-8."""
    assert load_text(tmp_path, effective(found)) == found


def test_every_setting_of_these_tests_is_there() -> None:
    """A setting that comes later is to be tried, too."""
    assert set(SETTINGS.wrapped_strategy.kwargs) == set(Settings.__struct_fields__)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "arguments",
    [
        {"sockets": [Target("/a/b"), Pattern("/a/*")], "vm_grace": 1.5},
        {"listen_addresses": ["unix:/a/b", ":0"], "page": False, "migration_events": False},
        {},
    ],
)
def test_flags_are_shown_as_what_they_set(arguments: dict[str, Any], tmp_path: Path) -> None:
    """Those of the command line, those of the environment, and what neither says."""
    environment = {
        "QMP_EXPORTER_QMP_LISTEN": "/run/in.sock",
        "QMP_EXPORTER_LISTEN_GROUP": "kvm",
        "QMP_EXPORTER_LIMITS_LINE_LENGTH": "2097152",
    }
    found = load(arguments, environment)
    assert load_text(tmp_path, effective(found)) == found


def test_all_is_shown_defaults_included() -> None:
    """Each key of the file, and each of a mapping that is not as it would be without."""
    shown = yaml.safe_load(effective(Settings()))
    keys = [f"{section}.{key}" for section, inner in shown.items() for key in inner]
    assert keys == sorted((flag.key for flag in FLAGS if flag.filed), key=keys.index)
    assert shown["vm"] == {"grace": "5m"}
    assert shown["limits"]["line_length"] == "1MiB"
    assert shown["qmp"] == {"socket": [], "listen": [], "migration_events": True}
    full = Settings(
        targets=(Target("/a", name="x"),),
        patterns=(Pattern("/b/*", re.compile("x"), ("*x",), (("a", "b"),), migration_events=True),),
        listeners=(Listening("/c", labels=(("a", "b"),), migration_events=True),),
    )
    shown = yaml.safe_load(effective(full))
    sockets = {key for entry in shown["qmp"]["socket"] for key in entry}
    assert sockets == {member.name for member in SOCKET}
    assert set(shown["qmp"]["listen"][0]) == {member.name for member in LISTENER}


def test_what_is_shown_reads_the_same_by_yaml_1_1_and_1_2() -> None:
    """A text that looks like more to either has quotes."""
    texts = ["on", "1:30", "0600", "1e3", "0o7", "12", "~", "2026-01-01", "", "true", "=", "<<"]
    labels = tuple((f"l{n}", text) for n, text in enumerate(texts))
    text = effective(Settings(targets=(Target("/a", labels=labels),)))
    (entry,) = yaml.safe_load(text)["qmp"]["socket"]
    assert list(entry["labels"].values()) == texts
    shown = re.findall(r"^ +l\d+: (.*)$", text, re.MULTILINE)
    assert len(shown) == len(texts)
    assert [text for text in shown if text[0] != "'"] == []
