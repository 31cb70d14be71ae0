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
from qmp_exporter.config.flags import FLAGS, Flag, settings
from qmp_exporter.errors import ConfigError, QmpExporterError
from qmp_exporter.telemetry import logs


if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence


WRONG_USE: Final = 2
"""Exit status where flags, files or values are wrong."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    try:
        return _run(_parser().parse_args(arguments))
    except QmpExporterError as err:
        print(f"qmp-exporter: {err}", file=sys.stderr)  # noqa: T201
        return WRONG_USE if isinstance(err, ConfigError) else 1


def _run(given: argparse.Namespace) -> int:
    found = settings(vars(given), os.environ)
    logs.configure(found.log_level, found.log_format, found.max_log_lines)
    # Imported here: --version and --help are quick without, and a server does not need the demo.
    if given.command == "demo":
        from qmp_exporter.demo.run import demo  # noqa: PLC0415

        return _until_signalled(demo(found, replayed=given.replay))
    if not (found.targets or found.patterns):
        raise ConfigError(
            "no monitor to watch; expected at least one --qmp.socket PATH"
            " (`qmp-exporter demo` shows what that looks like)"
        )
    from qmp_exporter.app import App  # noqa: PLC0415

    return _until_signalled(App(found).run())


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
            raise _first(group) from group
        return 0

    return asyncio.run(run())


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error inside groups of errors."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _parser() -> argparse.ArgumentParser:
    flags = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    for flag in FLAGS:
        _add(flags, flag)
    parser = _Parser(
        prog="qmp-exporter",
        description=description,
        epilog="A flag with a value in capitals may also be set by an environment variable, a"
        f" switch too: {FLAGS[0].name} by {FLAGS[0].variable}, one value a line.",
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
    if not flag.metavar:
        parser.add_argument(
            flag.name, dest=flag.setting, action="store_const", const=flag.value, help=flag.help
        )
        return

    def read(text: str) -> object:
        return flag.read(text, flag.name)

    parser.add_argument(
        flag.name,
        dest=flag.setting,
        type=read,
        action="append" if flag.many else "store",
        metavar=flag.metavar,
        help=f"{flag.help}; may be given again" if flag.many else flag.help,
    )
