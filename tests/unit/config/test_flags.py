"""Every flag and its twin in the environment."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from qmp_exporter.cli import _parser
from qmp_exporter.config.flags import FLAGS, Flag, settings
from qmp_exporter.config.settings import Settings
from qmp_exporter.errors import ConfigError


SAMPLES = {
    "PATH": ("/a/b", "/c/d"),
    "ADDRESS": ("127.0.0.1:1", "[::1]:2"),
    "N": ("7", "8"),
    "DURATION": ("90s", "91s"),
}
"""Two good texts for each kind of value, neither the default."""

WRONG = {"N": "seven", "DURATION": "5", "ADDRESS": "nowhere", "PATH": ""}
"""A bad text for each kind."""

by_name = pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
with_value = pytest.mark.parametrize(
    "flag", [flag for flag in FLAGS if flag.metavar], ids=lambda flag: flag.name
)


def texts(flag: Flag) -> tuple[str, str]:
    """Two texts that are values of a flag, the first of which is not the default."""
    if flag.choices:
        default = getattr(Settings(), flag.setting)
        other = [text for text in flag.choices if flag.parse(text) != default]
        return other[0], flag.choices[0] if flag.choices[0] != other[0] else flag.choices[1]
    return SAMPLES[flag.metavar]


def made(arguments: list[str], environment: dict[str, str] | None = None) -> Settings:
    """The settings of a command line."""
    return settings(vars(_parser().parse_args(arguments)), environment or {})


def changed(found: Settings) -> dict[str, Any]:
    """What is not as the defaults are."""
    default = msgspec.structs.asdict(Settings())
    now = msgspec.structs.asdict(found)
    return {name: value for name, value in now.items() if value != default[name]}


@by_name
def test_a_flag_and_its_twin_set_the_same(flag: Flag) -> None:
    """One setting each, and nothing else."""
    if flag.metavar:
        text = texts(flag)[0]
        by_flag, by_twin = made([flag.name, text]), made([], {flag.variable: text})
        assert made([f"{flag.name}={text}"]) == by_flag
    else:
        by_flag, by_twin = made([flag.name]), made([], {flag.variable: "true"})
    assert by_flag == by_twin
    assert len(changed(by_flag)) == 1


@by_name
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


@pytest.mark.parametrize("flag", [f for f in FLAGS if f.many], ids=lambda flag: flag.name)
def test_what_may_be_given_again_has_one_value_a_line(flag: Flag) -> None:
    """In order, each once, empty lines left out; flags replace all lines."""
    first, second = texts(flag)
    both = made([flag.name, first, flag.name, second])
    assert made([], {flag.variable: f"{first}\n\n{second}\n{first}\n"}) == both
    assert made([flag.name, first, flag.name, first]) == made([flag.name, first])
    assert made([flag.name, first], {flag.variable: second}) == made([flag.name, first])
    assert both != made([flag.name, second, flag.name, first])


@pytest.mark.parametrize("flag", [f for f in FLAGS if f.many], ids=lambda flag: flag.name)
@pytest.mark.parametrize("text", ["", "\n", " \n "])
def test_an_empty_variable_is_as_good_as_none(flag: Flag, text: str) -> None:
    """As files of services leave it, where nothing is to be set."""
    assert made([], {flag.variable: text}) == Settings()


@pytest.mark.parametrize("flag", [f for f in FLAGS if not f.metavar], ids=lambda flag: flag.name)
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
    wrong = "neither" if flag.choices else WRONG[flag.metavar]
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


def test_what_is_no_variable_of_ours_is_not_read() -> None:
    """Only names that are those of flags."""
    environment = {"QMP_SOCKET": "/a/b", "QMP_EXPORTER_": "x", "QMP_EXPORTER_NONE": "x"}
    assert made([], environment) == Settings()
