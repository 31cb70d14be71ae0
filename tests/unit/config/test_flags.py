"""Every flag, its twin in the environment and its key in the file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from qmp_exporter.cli import _parser
from qmp_exporter.config.flag import Flag
from qmp_exporter.config.flags import FLAGS
from qmp_exporter.config.load import load, settings
from qmp_exporter.config.settings import Settings
from qmp_exporter.errors import ConfigError
from qmp_exporter.model.target import Listening
from unit.config.filed import load_text


if TYPE_CHECKING:
    from pathlib import Path


SAMPLES = {
    "PATH": ("/a/b", "/c/d"),
    "FILE": ("/a/b", "/c/d"),
    "ADDRESS": ("127.0.0.1:1", "[::1]:2"),
    "N": ("7", "8"),
    "DURATION": ("90s", "91s"),
    "SIZE": ("2MiB", "65537"),
    "MODE": ("0660", "0666"),
    "GROUP": ("kvm", "36"),
    "USER": ("libvirt-qemu", "107"),
}
"""Two good texts for each kind of value, neither the default."""

WRONG = {
    "N": "seven",
    "DURATION": "5",
    "ADDRESS": "nowhere",
    "PATH": "",
    "FILE": "a\0b",
    "SIZE": "1",
    "MODE": "rw",
    "GROUP": "-1",
    "USER": "a b",
}
"""A bad text for each kind."""

FILED = [flag for flag in FLAGS if flag.filed]
"""The flags that set something; the others say where that stands, and that it be shown."""

every = pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
by_name = pytest.mark.parametrize("flag", FILED, ids=lambda flag: flag.name)
with_value = pytest.mark.parametrize(
    "flag", [flag for flag in FILED if flag.kind.metavar], ids=lambda flag: flag.name
)
repeatable = pytest.mark.parametrize(
    "flag", [flag for flag in FILED if flag.many], ids=lambda flag: flag.name
)
switch = pytest.mark.parametrize(
    "flag", [flag for flag in FILED if not flag.kind.metavar], ids=lambda flag: flag.name
)


def texts(flag: Flag) -> tuple[str, str]:
    """Two texts that are values of a flag, the first of which is not the default."""
    if flag.kind.choices:
        default = getattr(Settings(), flag.setting)
        first, *others = sorted(
            flag.kind.choices, key=lambda text: bool(flag.kind.parse(text) == default)
        )
        return first, others[0]
    return SAMPLES[flag.kind.metavar]


def made(arguments: list[str], environment: dict[str, str] | None = None) -> Settings:
    """The settings of a command line."""
    return settings(vars(_parser().parse_args(arguments)), environment or {})


def filed(flag: Flag, text: str) -> str:
    """The file that sets a flag to what a text is."""
    first, second = flag.key.split(".")
    if flag.kind.forms == ("boolean",):
        text = {"on": "true", "off": "false"}[text]
    elif "number" not in flag.kind.forms:
        text = json.dumps(text)
    return f"{first}: {{{second}: {text}}}"


def changed(found: Settings) -> dict[str, Any]:
    """What is not as the defaults are."""
    default = msgspec.structs.asdict(Settings())
    now = msgspec.structs.asdict(found)
    return {name: value for name, value in now.items() if value != default[name]}


@by_name
def test_a_flag_and_its_twin_set_the_same(flag: Flag) -> None:
    """One setting each, and nothing else."""
    if flag.kind.metavar:
        text = texts(flag)[0]
        by_flag, by_twin = made([flag.name, text]), made([], {flag.variable: text})
        assert made([f"{flag.name}={text}"]) == by_flag
    else:
        by_flag, by_twin = made([flag.name]), made([], {flag.variable: "true"})
    assert by_flag == by_twin
    assert len(changed(by_flag)) == 1


@every
def test_the_twin_is_named_after_the_flag(flag: Flag) -> None:
    """So that nobody has to look it up."""
    assert flag.variable.startswith("QMP_EXPORTER_")
    assert flag.variable.isupper()
    shown = flag.variable.removeprefix("QMP_EXPORTER_").lower()
    assert shown == flag.name.removeprefix("--").replace(".", "_").replace("-", "_")


@with_value
def test_the_flag_comes_before_the_environment(flag: Flag) -> None:
    """And the environment before the default."""
    first, second = texts(flag)
    assert made([flag.name, first], {flag.variable: second}) == made([flag.name, first])
    assert made([], {}) == Settings()


@repeatable
def test_what_may_be_given_again_has_one_value_a_line(flag: Flag) -> None:
    """In order, each once, empty lines left out; flags replace all lines."""
    first, second = texts(flag)
    both = made([flag.name, first, flag.name, second])
    assert made([], {flag.variable: f"{first}\n\n{second}\n{first}\n"}) == both
    assert made([flag.name, first, flag.name, first]) == made([flag.name, first])
    assert made([flag.name, first], {flag.variable: second}) == made([flag.name, first])
    assert both != made([flag.name, second, flag.name, first])


@repeatable
@pytest.mark.parametrize("text", ["", "\n", " \n "])
def test_an_empty_variable_is_as_good_as_none(flag: Flag, text: str) -> None:
    """As files of services leave it, where nothing is to be set."""
    assert made([], {flag.variable: text}) == Settings()


@switch
def test_a_switch_is_true_or_false_in_the_environment(flag: Flag) -> None:
    """In the words that people use; anything else is an error that names the variable."""
    for text in ("1", "true", "True", "on", "YES"):
        assert len(changed(made([], {flag.variable: text}))) == 1
    for text in ("0", "false", "off", "No", ""):
        assert made([], {flag.variable: text}) == Settings()
    with pytest.raises(ConfigError) as caught:
        made([], {flag.variable: "maybe"})
    assert str(caught.value) == f"{flag.variable}: found 'maybe'; expected true or false"


@with_value
def test_a_wrong_value_is_told_with_its_source(flag: Flag) -> None:
    """The flag, or the variable; what was found; what was expected."""
    wrong = "neither" if flag.kind.choices else WRONG[flag.kind.metavar]
    for source, arguments, environment in (
        (flag.name, [flag.name, wrong], {}),
        (flag.variable, [], {flag.variable: wrong}),
    ):
        if flag.many and not (arguments or wrong):
            continue  # an empty line is none
        with pytest.raises(ConfigError) as caught:
            made(arguments, environment)
        text = str(caught.value)
        assert text.startswith(f"{source}: ")
        assert "found" in text
        assert repr(wrong) in text
        assert "expected" in text
        assert len(text.splitlines()) == 1


@by_name
def test_a_flag_and_its_key_set_the_same(flag: Flag, tmp_path: Path) -> None:
    """Named after each other, a text or number for a value, true or false for a switch."""
    section, _, name = flag.name.removeprefix("--no-").strip("-").partition(".")
    assert flag.key.replace("_", "-") == f"{section}.{name.replace('.', '-')}"
    if flag.kind.metavar:
        first, second = texts(flag)
        assert load_text(tmp_path, filed(flag, first)) == made([flag.name, first])
        assert load_text(tmp_path, filed(flag, second)) == made([flag.name, second])
        return
    on, off = (load_text(tmp_path, filed(flag, text)) for text in ("on", "off"))
    if flag.name.startswith("--no-"):
        on, off = off, on
    assert on == made([flag.name])
    assert off == Settings()


@with_value
def test_the_flag_and_the_environment_come_before_the_file(flag: Flag, tmp_path: Path) -> None:
    """And the file before the default; a list of one replaces a list of the other."""
    first, second = texts(flag)
    path = tmp_path / "c.yml"
    path.write_text(filed(flag, second))
    by_flag = made([flag.name, first])
    assert by_flag != made([flag.name, second])
    file = ["--config.file", str(path)]
    assert made([*file, flag.name, first]) == by_flag
    assert made(file, {flag.variable: first}) == by_flag
    assert made(file) == made([flag.name, second])


@switch
def test_a_switch_of_the_environment_comes_before_the_file(flag: Flag, tmp_path: Path) -> None:
    """Also where it says that the switch is off; an empty one says nothing."""
    path = tmp_path / "c.yml"
    given = made([flag.name])
    for text in ("on", "off"):
        path.write_text(filed(flag, text))
        file = ["--config.file", str(path)]
        assert made([*file, flag.name]) == given
        assert made(file, {flag.variable: "true"}) == given
        assert made(file, {flag.variable: "false"}) == Settings()
        assert made(file, {flag.variable: ""}) == made(file)


def test_the_file_is_named_by_the_flag_before_the_environment(tmp_path: Path) -> None:
    """As all else; an empty variable names none."""
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"web: {{telemetry_path: /{name}}}")
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    twin = "QMP_EXPORTER_CONFIG_FILE"
    assert made(["--config.file", a], {twin: b}).telemetry_path == "/a"
    assert made([], {twin: b}).telemetry_path == "/b"
    assert made([], {twin: ""}) == Settings()


def test_a_wrong_file_is_an_error_though_a_flag_comes_before_it(tmp_path: Path) -> None:
    """Or the fault would show on the day that the flag goes."""
    path = tmp_path / "c.yml"
    path.write_text("vm: {grace: soon}")
    with pytest.raises(ConfigError, match=r"c\.yml:1: vm\.grace: found 'soon'; expected a"):
        made(["--config.file", str(path), "--vm.grace", "1m"])


def test_listeners_are_as_the_flags_of_all_say() -> None:
    """Wherever either comes from."""
    found = made(
        ["--qmp.listen", "/a/b", "--listen.mode", "0660", "--qmp.listen", "/c/d"],
        {"QMP_EXPORTER_LISTEN_GROUP": "kvm", "QMP_EXPORTER_LISTEN_USER": "alice\n107"},
    )
    more = (0o660, "kvm", ("alice", "107"))
    assert found.listeners == (Listening("/a/b", *more), Listening("/c/d", *more))


@pytest.mark.parametrize(
    "arguments",
    [["--qmp.socket", "/a/b"], ["--qmp.socket", "/a/*"], ["--qmp.listen", "/a/b"]],
)
def test_a_path_a_glob_or_a_listener_is_something_to_do(arguments: list[str]) -> None:
    """Without any of them there is nothing to export."""
    given = vars(_parser().parse_args(arguments))
    assert load(given, {}) == settings(given, {})
    with pytest.raises(ConfigError, match=r"^no monitor to watch; expected "):
        load({}, {})


def test_a_socket_is_not_dialled_and_listened_at() -> None:
    """It would be the exporter's own."""
    with pytest.raises(ConfigError, match=r"^/a/b: found in qmp\.socket and in qmp\.listen; exp"):
        made(["--qmp.listen", "/a/b", "--qmp.socket", "unix:/a/b"])


def test_a_line_of_several_that_is_wrong_is_the_one_that_is_told() -> None:
    """Among good ones."""
    with pytest.raises(ConfigError, match=r"QMP_EXPORTER_QMP_SOCKET: found 'nonsense'"):
        made([], {"QMP_EXPORTER_QMP_SOCKET": "/a/b\nnonsense\n/c/d"})


def test_no_flag_stands_for_another() -> None:
    """Names, variables and settings are each used once."""
    for attribute in ("name", "variable", "setting"):
        found = [getattr(flag, attribute) for flag in FLAGS]
        assert len(set(found)) == len(found)


@by_name
def test_every_flag_has_a_help_that_fits_a_line(flag: Flag) -> None:
    """A phrase, without a full stop."""
    assert flag.help
    assert flag.help[0].islower() or flag.help.startswith("QMP")
    assert not flag.help.endswith(".")
    assert flag.says == flag.help.removeprefix("do not ")
    assert flag.name.startswith("--no-") == flag.help.startswith("do not ")


def test_what_is_no_variable_of_ours_is_not_read() -> None:
    """Only names that are those of flags."""
    environment = {"QMP_SOCKET": "/a/b", "QMP_EXPORTER_": "x", "QMP_EXPORTER_NONE": "x"}
    assert made([], environment) == Settings()
