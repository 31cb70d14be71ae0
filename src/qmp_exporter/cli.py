"""The command line: arguments to settings, and settings to a run."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Final, NoReturn

from qmp_exporter import __doc__ as description
from qmp_exporter import __version__
from qmp_exporter.config.flags import FLAGS
from qmp_exporter.config.load import checks, load, settings
from qmp_exporter.errors import ConfigError, QmpExporterError, first
from qmp_exporter.telemetry import logs


if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from qmp_exporter.config.flag import Flag
    from qmp_exporter.config.settings import Settings


WRONG_USE: Final = 2
"""Exit status where flags, files or values are wrong."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    try:
        return _run(_parsed(sys.argv[1:] if arguments is None else arguments))
    except QmpExporterError as err:
        print(f"qmp-exporter: {err}", file=sys.stderr)  # noqa: T201
        return WRONG_USE if isinstance(err, ConfigError) else 1


def _run(given: argparse.Namespace) -> int:
    flags = vars(given)
    demo = given.command == "demo"
    found = (settings if demo else load)(flags, os.environ)
    # Imported here: --version and --help are quick without, and a server does not need the demo.
    if checks(flags, os.environ):
        from qmp_exporter.config.effective import effective  # noqa: PLC0415

        sys.stdout.buffer.write(effective(found).encode())  # as files are, whatever the locale
        return 0
    logs.configure(found.log_level, found.log_format, found.max_log_lines)
    if demo:
        from qmp_exporter.demo.run import demo as run  # noqa: PLC0415

        return _until_signalled(run(found, replayed=given.replay))
    from qmp_exporter.app import App  # noqa: PLC0415
    from qmp_exporter.service import Service  # noqa: PLC0415

    def reread() -> Settings:
        return load(flags, os.environ)

    return _until_signalled(App(found, reread=reread, service=Service(os.environ)).run())


def _until_signalled(work: Coroutine[object, object, object]) -> int:
    """Run ``work`` until it ends or SIGINT or SIGTERM comes."""

    async def run() -> int:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            return 0
        except BaseExceptionGroup as group:
            raise first(group) from group
        return 0

    return asyncio.run(run())


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the flags that were given, by the names of their settings.

    Raises:
        ConfigError: they are wrong.
    """
    parser = _parser()
    known = {"--version", "--help", "--replay", *(flag.name for flag in FLAGS)}
    for argument in arguments:
        # argparse takes what follows an unknown flag for a command, and complains of that.
        if argument.startswith("--") and argument.partition("=")[0] not in (*known, "--"):
            parser.error(f"unrecognized arguments: {argument}")
    return parser.parse_args(arguments)


def _parser() -> argparse.ArgumentParser:
    flags = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    for flag in FLAGS:
        _add(flags, flag)
    parser = _Parser(
        prog="qmp-exporter",
        description=description,
        epilog="Each flag may also be set by an environment variable: --qmp.socket by"
        " QMP_EXPORTER_QMP_SOCKET, one value a line, and a switch by true or false.",
        allow_abbrev=False,
        parents=[flags],
    )
    parser.set_defaults(command="serve")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=_Parser)
    what = "start real VMs under the exporter and let things happen to them"
    demo = commands.add_parser(
        "demo", help=what, description=what, parents=[flags], allow_abbrev=False
    )
    demo.set_defaults(command="demo")
    demo.add_argument(
        "--replay", action="store_true", help="play recorded events instead, without QEMU"
    )
    return parser


def _add(parser: argparse.ArgumentParser, flag: Flag) -> None:
    if not flag.kind.metavar:
        parser.add_argument(
            flag.name, dest=flag.setting, action="store_const", const=flag.value, help=flag.help
        )
        return

    def read(text: str) -> object:
        return flag.read(text, flag.name)

    notes = [f"default {flag.default}"] if flag.default else []
    notes += ["may be given again"] if flag.many else []
    parser.add_argument(
        flag.name,
        dest=flag.setting,
        type=read,
        action="append" if flag.many else "store",
        metavar=flag.kind.metavar,
        help=f"{flag.help} ({', '.join(notes)})" if notes else flag.help,
    )
