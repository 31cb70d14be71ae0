"""The command line: arguments to settings, and settings to a run."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from qmp_exporter import __doc__ as description
from qmp_exporter import __version__
from qmp_exporter.config import kinds
from qmp_exporter.config.flags import FLAGS
from qmp_exporter.config.load import checks, load, settings
from qmp_exporter.config.texts import parse_speed
from qmp_exporter.errors import ConfigError, QmpExporterError, first
from qmp_exporter.kubevirt.place import CONTAINER, DIRECTORY, NAME, place
from qmp_exporter.model.target import Target
from qmp_exporter.telemetry import logs


if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from qmp_exporter.config.flag import Flag
    from qmp_exporter.config.settings import Settings


NEW_OBJECTS: Final = 10_000
"""So many are made before Python looks for cycles among them. Its own 700 is for small programs:
connecting 10,000 VMs took a quarter of its time for that, and here few cycles are made."""

WRONG_USE: Final = 2
"""Exit status where flags, files or values are wrong."""


FIRST: Final = 1
"""The process of a container for which the kernel drops signals that it has no handler for, see
pid_namespaces(7): until its loop has one, this needs another."""

OTHERS: Final = (
    *("--version", "--help", "--replay"),
    *("--keep-personal", "--max-size", "--socket", "--speed", "--loop"),
    *("--hook.socket-dir", "--hook.name"),
)
"""Flags that are none of the exporter's settings."""

MOST_RECORDED: Final = "64MiB"

TAKEN: Final = {
    "record": ("--no-qmp.migration-events", "--limits.line-length", "--config.file"),
    "replay": (),
}
"""Flags of the exporter that its other commands take, too; those of ``BRINGS`` take all."""

BRINGS: Final = ("demo", "kubevirt-hook")
"""Commands that bring monitors to watch, so that none has to be named."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    if os.getpid() == FIRST:
        signal.signal(signal.SIGTERM, _leave)
    try:
        return _run(_parsed(sys.argv[1:] if arguments is None else arguments))
    except QmpExporterError as err:
        print(f"qmp-exporter: {err}", file=sys.stderr)  # noqa: T201
        return WRONG_USE if isinstance(err, ConfigError) else 1


def _leave(*_: object) -> NoReturn:
    raise SystemExit(0)


def _run(given: argparse.Namespace) -> int:
    flags = vars(given)
    if given.command in TAKEN:
        return _tape(given)
    found = (settings if given.command in BRINGS else load)(flags, os.environ)
    # Imported here: --version and --help are quick without, and a server does not need the demo.
    if checks(flags, os.environ):
        from qmp_exporter.config.effective import effective  # noqa: PLC0415

        sys.stdout.buffer.write(effective(found).encode())  # as files are, whatever the locale
        return 0
    logs.configure(found.log_level, found.log_format, found.max_log_lines)
    if given.command == "demo":
        from qmp_exporter.demo.run import demo as run  # noqa: PLC0415

        return _until_signalled(run(found, replayed=given.replay))
    if given.command == "kubevirt-hook":
        return _kubevirt_hook(given, found)
    from qmp_exporter.app import App  # noqa: PLC0415
    from qmp_exporter.service import Service  # noqa: PLC0415

    def reread() -> Settings:
        return load(flags, os.environ)

    return _until_signalled(App(found, reread=reread, service=Service(os.environ)).run())


def _kubevirt_hook(given: argparse.Namespace, found: Settings) -> int:
    # Imported here: gRPC is an extra.
    from qmp_exporter.kubevirt.run import serve  # noqa: PLC0415
    from qmp_exporter.service import Service  # noqa: PLC0415

    where = place(given.socket_dir, given.hook_name, os.environ.get(CONTAINER, ""))

    def reread() -> Settings:
        return settings(vars(given), os.environ)

    return _until_signalled(serve(found, where, reread, Service(os.environ)))


def _tape(given: argparse.Namespace) -> int:
    """Record, or replay."""
    others = [f for f in FLAGS if f.setting in given and f.name not in TAKEN[given.command]]
    if others:
        raise ConfigError(f"{given.command} does not take {others[0].name}")
    logs.configure("warn", "logfmt")
    if given.command == "record":
        found = settings(vars(given), os.environ)
        from qmp_exporter.recording.record import record  # noqa: PLC0415

        return _until_signalled(
            record(
                given.target,
                given.file,
                found,
                personal=given.keep_personal,
                most=given.max_size,
                say=_say,
            )
        )
    from qmp_exporter.recording.replay import replay  # noqa: PLC0415
    from qmp_exporter.recording.tape import Tape  # noqa: PLC0415

    tape = Tape.load(given.file)
    return _until_signalled(
        replay(tape, given.socket, say=_show, speed=given.speed, loop=given.loop)
    )


def _show(line: str) -> None:
    """Tell the user."""
    print(line, flush=True)  # noqa: T201


def _say(line: str) -> None:
    """Tell the user beside what goes to standard output."""
    print(f"qmp-exporter: {line}", file=sys.stderr, flush=True)  # noqa: T201


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

    gc.set_threshold(NEW_OBJECTS)
    return asyncio.run(run())


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the flags that were given, by the names of their settings.

    Raises:
        ConfigError: they are wrong.
    """
    parser = _parser()
    known = {*OTHERS, *(flag.name for flag in FLAGS)}
    for argument in arguments:
        # argparse takes what follows an unknown flag for a command, and complains of that.
        if argument.startswith("--") and argument.partition("=")[0] not in (*known, "--"):
            parser.error(f"unrecognized arguments: {argument}")
    return parser.parse_args(arguments)


def _parser() -> argparse.ArgumentParser:
    flags = _Parser(add_help=False)
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
    _add_record(commands)
    _add_replay(commands)
    _add_kubevirt_hook(commands, flags)
    return parser


def _add_record(commands: argparse._SubParsersAction[_Parser]) -> None:
    what = "write down what a monitor says, without personal data, to send it to others"
    parser = commands.add_parser("record", help=what, description=what, allow_abbrev=False)
    parser.set_defaults(command="record")
    parser.add_argument(
        "target",
        metavar="SOCKET",
        type=_one_monitor,
        help="the monitor: the path of a socket, with a slash in it, or host:port",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        type=Path,
        help="a new file for it, which nobody else may read (default standard output)",
    )
    parser.add_argument(
        "--keep-personal",
        action="store_true",
        help="keep names, addresses, ids and texts, which are replaced otherwise",
    )
    parser.add_argument(
        "--max-size",
        metavar=kinds.SIZE.metavar,
        type=_named("--max-size", kinds.SIZE.parse),
        default=MOST_RECORDED,
        help="end with as much (default %(default)s)",
    )
    for flag in FLAGS:
        if flag.name in TAKEN["record"]:
            _add(parser, flag)


def _add_replay(commands: argparse._SubParsersAction[_Parser]) -> None:
    what = "serve a recording as a monitor again"
    parser = commands.add_parser("replay", help=what, description=what, allow_abbrev=False)
    parser.set_defaults(command="replay")
    parser.add_argument("file", metavar="FILE", type=Path, help="a file of `qmp-exporter record`")
    parser.add_argument(
        "--socket", metavar="PATH", type=Path, help="where to listen (default a temporary path)"
    )
    parser.add_argument(
        "--speed",
        metavar="N|max",
        type=_named("--speed", parse_speed),
        default="1",
        help="how many times as fast as it was (default %(default)s)",
    )
    parser.add_argument("--loop", action="store_true", help="begin again at the end")


def _add_kubevirt_hook(commands: argparse._SubParsersAction[_Parser], flags: _Parser) -> None:
    what = "watch the VM of the pod as a hook sidecar of KubeVirt"
    parser = commands.add_parser(
        "kubevirt-hook", help=what, description=what, parents=[flags], allow_abbrev=False
    )
    parser.set_defaults(command="kubevirt-hook")
    parser.add_argument(
        "--hook.socket-dir",
        dest="socket_dir",
        metavar="PATH",
        default=DIRECTORY,
        help="where KubeVirt looks for hooks (default %(default)s)",
    )
    parser.add_argument(
        "--hook.name",
        dest="hook_name",
        metavar="NAME",
        default=NAME,
        help="name of the hook, which no other one of the VM has (default %(default)s)",
    )


def _named(name: str, parse: Callable[[str], object]) -> Callable[[str], object]:
    """Return a function whose errors name a flag."""

    def read(text: str) -> object:
        try:
            return parse(text)
        except ConfigError as err:
            raise ConfigError(f"{name}: {err}") from None

    return read


def _one_monitor(text: str) -> Target:
    found = _named("SOCKET", kinds.SOCKET.parse)(text)
    if not isinstance(found, Target):
        raise ConfigError(f"SOCKET: found the glob {text!r}; expected the path of one socket")
    return found


def _add(parser: argparse.ArgumentParser, flag: Flag) -> None:
    if not flag.kind.metavar:
        parser.add_argument(
            flag.name,
            dest=flag.setting,
            action="store_const",
            const=flag.value,
            default=argparse.SUPPRESS,
            help=flag.help,
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
        default=argparse.SUPPRESS,
        metavar=flag.kind.metavar,
        help=f"{flag.help} ({', '.join(notes)})" if notes else flag.help,
    )
