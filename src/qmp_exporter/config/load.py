"""From flags, variables and the file to settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import msgspec

from qmp_exporter.config.flags import CONFIG_CHECK, CONFIG_FILE, FLAGS
from qmp_exporter.config.otel import read_otel
from qmp_exporter.config.settings import Settings
from qmp_exporter.discovery.pattern import Pattern
from qmp_exporter.errors import ConfigError
from qmp_exporter.model.target import Target


if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmp_exporter.config.flag import Flag
    from qmp_exporter.config.given import Given


_KEYS: Final = {flag.key: flag for flag in FLAGS if flag.filed}


def load(given: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Return settings with which the exporter has something to do, from the file as it is now.

    Args:
        given: as of ``settings``.
        environment: as of ``settings``.

    Raises:
        ConfigError: something is wrong, or there is no monitor to watch.
    """
    found = settings(given, environment)
    if not (found.targets or found.patterns or found.listeners):
        raise ConfigError(
            "no monitor to watch; expected --qmp.socket PATH, --qmp.listen PATH, or"
            " --config.file FILE with one of them"
            " (`qmp-exporter demo` shows what that looks like)"
        )
    if found.web_config_file:
        # Imported here: --version and --help are quick without TLS.
        from qmp_exporter.web.security import check  # noqa: PLC0415

        check(found.web_config_file)
    return found


def settings(given: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Return the settings: flag before environment before file before default.

    Args:
        given: from the names of settings to the values of the flags that were given.
        environment: the process's.

    Raises:
        ConfigError: a variable or the file is wrong.
    """
    path = _set(CONFIG_FILE, given, environment)
    filed = read_file(path) if path else {}
    values: dict[str, Any] = {}
    for flag in FLAGS:
        found = _set(flag, given, environment)
        if found is None:
            found = filed.get(flag.setting)
        if found is not None and flag.filed:
            values[flag.setting] = tuple(dict.fromkeys(found)) if flag.many else found
    sockets = values.pop("sockets", ())
    listeners = values.pop("listeners", ())
    values["targets"] = tuple(found for found in sockets if isinstance(found, Target))
    values["patterns"] = tuple(found for found in sockets if isinstance(found, Pattern))
    made = msgspec.structs.replace(Settings(), **values)
    made = msgspec.structs.replace(made, listeners=tuple(x.listening(made) for x in listeners))
    made = msgspec.structs.replace(made, otel=read_otel(environment))
    for path in {target.address for target in made.targets} & {x.path for x in made.listeners}:
        raise ConfigError(f"{path}: found in qmp.socket and in qmp.listen; expected in one of them")
    return made


def checks(given: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
    """Whether the settings are only to be shown.

    Raises:
        ConfigError: the variable is wrong.
    """
    return bool(_set(CONFIG_CHECK, given, environment))


def read_file(path: str) -> dict[str, Any]:
    """Return what a file sets: from the names of settings to values.

    Raises:
        ConfigError: the file is wrong.
    """
    # Imported here: YAML is slow to import, and most runs have no file.
    from qmp_exporter.config.file import read  # noqa: PLC0415

    given = read(path)
    base = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120 - links stay as they are
    return _section(given, "", base)


def _section(given: Given, key: str, base: str) -> dict[str, Any]:
    """Return what one mapping of the file sets, which may also be empty."""
    if given.form == "nothing":
        return {}
    names = sections(key)
    values: dict[str, Any] = {}
    for name, member in given.mapping(names, f"a mapping of {', '.join(names)}").items():
        below = f"{key}.{name}" if key else name
        if flag := _KEYS.get(below):
            values[flag.setting] = flag.read_file(member, base)
        else:
            values |= _section(member, below, base)
    return values


def sections(key: str = "") -> tuple[str, ...]:
    """Return the names that the mapping at a dotted key may have."""
    start = f"{key}." if key else ""
    names = (known.removeprefix(start) for known in _KEYS if known.startswith(start))
    return tuple(dict.fromkeys(name.partition(".")[0] for name in names))


def _set(flag: Flag, given: Mapping[str, Any], environment: Mapping[str, str]) -> Any:
    """Return what a flag, else its variable, says; None where neither is there."""
    found = given.get(flag.setting)
    if found is None and flag.variable in environment:
        found = flag.read_variable(environment[flag.variable])
    return found
