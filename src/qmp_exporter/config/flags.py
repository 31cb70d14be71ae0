"""The flags, as data, and the settings that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from qmp_exporter.config.settings import (
    DEFAULT_ADDRESS,
    Settings,
    parse_duration,
    parse_number,
    parse_socket,
)
from qmp_exporter.discovery.pattern import Pattern
from qmp_exporter.errors import ConfigError
from qmp_exporter.model.target import Target
from qmp_exporter.telemetry import logs


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_ENVIRONMENT: Final = "QMP_EXPORTER_"
_TRUE: Final = frozenset({"1", "on", "true", "yes"})
_FALSE: Final = frozenset({"", "0", "off", "false", "no"})


class Flag(msgspec.Struct, frozen=True):
    """A flag and its environment variable.

    Attributes:
        name: with its dashes.
        help: one phrase.
        setting: the member of ``Settings`` that it sets.
        metavar: what stands for its value; empty for a switch, which has none.
        parse: from the text of a value to the value.
        choices: the texts that are values, if there are few.
        many: whether it may be given again.
        value: what a switch sets.
    """

    name: str
    help: str
    setting: str
    metavar: str = ""
    parse: Callable[[str], Any] = str
    choices: tuple[str, ...] = ()
    many: bool = False
    value: bool = True

    @property
    def variable(self) -> str:
        """Its twin in the environment."""
        return _ENVIRONMENT + self.name.strip("-").upper().replace(".", "_").replace("-", "_")

    def read(self, text: str, source: str) -> Any:
        """Return the value that ``text`` is.

        Raises:
            ConfigError: it is none; the message names ``source``.
        """
        if self.choices and text not in self.choices:
            raise ConfigError(f"{source}: found {text!r}; expected {' or '.join(self.choices)}")
        try:
            return self.parse(text)
        except ConfigError as err:
            raise ConfigError(f"{source}: {err}") from None


def _listen_address(text: str) -> str:
    # Imported here: --version and --help are quick without HTTP.
    from qmp_exporter.web.address import parse_address  # noqa: PLC0415

    parse_address(text)
    return text


def _telemetry_path(text: str) -> str:
    from qmp_exporter.web.application import check_telemetry_path  # noqa: PLC0415

    check_telemetry_path(text)
    return text


FLAGS: Final = (
    Flag(
        "--qmp.socket",
        "QMP monitors to watch: the path of a socket, a glob of paths, or host:port",
        "sockets",
        "PATH",
        parse_socket,
        many=True,
    ),
    Flag(
        "--no-qmp.migration-events",
        "do not tell QEMU to send MIGRATION events, which it does not do by itself",
        "migration_events",
        value=False,
    ),
    Flag(
        "--web.listen-address",
        f"where to serve HTTP: :PORT, HOST:PORT or unix:PATH (default {DEFAULT_ADDRESS})",
        "listen_addresses",
        "ADDRESS",
        _listen_address,
        many=True,
    ),
    Flag(
        "--web.telemetry-path",
        "where to serve the metrics (default /metrics)",
        "telemetry_path",
        "PATH",
        _telemetry_path,
    ),
    Flag(
        "--web.max-requests",
        "scrapes at a time, 0 for no limit (default 40)",
        "max_requests",
        "N",
        parse_number,
    ),
    Flag(
        "--web.page",
        "whether / shows the VMs (default on)",
        "page",
        "on|off",
        "on".__eq__,
        choices=("on", "off"),
    ),
    Flag(
        "--web.disable-exporter-metrics",
        "show no metrics of the exporter's process and of Python",
        "process_metrics",
        value=False,
    ),
    Flag(
        "--vm.grace",
        "how long the series of a VM stay after its end (default 5m)",
        "vm_grace",
        "DURATION",
        parse_duration,
    ),
    Flag(
        "--limits.label-sets",
        "rows of one metric of one VM that are told apart (default 256)",
        "label_sets",
        "N",
        parse_number,
    ),
    Flag(
        "--limits.targets",
        "monitors found by globs, at most (default 10000)",
        "max_targets",
        "N",
        parse_number,
    ),
    Flag(
        "--log.level",
        "debug, info, warn or error (default info)",
        "log_level",
        "LEVEL",
        choices=logs.LEVELS,
    ),
    Flag(
        "--log.format",
        "logfmt or json (default logfmt)",
        "log_format",
        "FORMAT",
        choices=logs.FORMATS,
    ),
)


def settings(given: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Return the settings: flag before environment before default.

    Args:
        given: from the names of settings to the values of the flags that were given.
        environment: the process's.

    Raises:
        ConfigError: a variable's value is wrong.
    """
    values: dict[str, Any] = {}
    for flag in FLAGS:
        found = given.get(flag.setting)
        if found is None and flag.variable in environment:
            found = _from_environment(flag, environment[flag.variable])
        if found is not None:
            values[flag.setting] = tuple(dict.fromkeys(found)) if flag.many else found
    sockets = values.pop("sockets", ())
    values["targets"] = tuple(found for found in sockets if isinstance(found, Target))
    values["patterns"] = tuple(found for found in sockets if isinstance(found, Pattern))
    return msgspec.structs.replace(Settings(), **values)


def _from_environment(flag: Flag, text: str) -> Any:
    if flag.many:
        # An empty variable is as good as none.
        return [
            flag.read(line, flag.variable) for line in text.splitlines() if line.strip()
        ] or None
    if flag.metavar:
        return flag.read(text, flag.variable)
    if text.lower() in _TRUE:
        return flag.value
    if text.lower() in _FALSE:
        return None
    raise ConfigError(f"{flag.variable}: found {text!r}; expected true or false")
