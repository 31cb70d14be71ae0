"""The command line, in this process; what it does as a process is tested in integration."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from qmp_exporter import __version__, cli
from qmp_exporter.config.flags import FLAGS
from qmp_exporter.errors import ConfigError, QmpExporterError
from qmp_exporter.model.target import Target
from qmp_exporter.recording.tape import HEADER, Tape
from qmp_exporter.telemetry import logs


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qmp_exporter.config.settings import Settings
    from qmp_exporter.service import Service

NOWHERE = ["--web.listen-address", "127.0.0.1:0"]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No variable of this machine's, and logging and the garbage collector as they were."""
    for name in [name for name in os.environ if name.startswith("QMP_EXPORTER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that was written, without what is always in front."""
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("qmp-exporter: ")
    return line.removeprefix("qmp-exporter: ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--qmp.socket", "nowhere"], "--qmp.socket: found 'nowhere'; expected the path"),
        (["--qmp.socket", "/" + "x" * 200], "--qmp.socket: found a path of 201 bytes"),
        (["--qmp.socket"], "argument --qmp.socket: expected one argument"),
        (["--vm.grace", "5"], "--vm.grace: found '5'; expected a duration"),
        (["--vm.grace", "9" * 400 + "h"], "--vm.grace: found '999"),
        (["--web.max-requests", "-1"], "--web.max-requests"),
        (["--web.max-requests=-1"], "--web.max-requests: found '-1'; expected a whole number"),
        (["--web.page", "maybe"], "--web.page: found 'maybe'; expected on or off"),
        (["--log.level", "loud"], "--log.level: found 'loud'; expected debug or info or"),
        (["--log.format", "xml"], "--log.format: found 'xml'; expected logfmt or json"),
        (["--web.listen-address", "x"], "--web.listen-address: found 'x'"),
        (["--web.listen-address", "x:y"], "--web.listen-address: found the port 'y'"),
        (["--web.telemetry-path", "metrics"], "--web.telemetry-path: found"),
        (["--web.telemetry-path", "/-/ready"], "--web.telemetry-path: found"),
        (["--no-such-flag"], "unrecognized arguments: --no-such-flag"),
        (["--no-such-flag", "x"], "unrecognized arguments: --no-such-flag"),
        (["--no-such-flag=x", "demo"], "unrecognized arguments: --no-such-flag=x"),
        (["demo", "--no-such-flag", "x"], "unrecognized arguments: --no-such-flag"),
        (["--replay"], "unrecognized arguments: --replay"),
        (["--qmp.sock=/a/b"], "unrecognized arguments: --qmp.sock=/a/b"),
        (["--qmp.sock", "/a/b"], "unrecognized arguments: --qmp.sock"),
        (["--qmp.listen", "in.sock"], "--qmp.listen: found 'in.sock'; expected the path"),
        (["--listen.mode", "rw"], "--listen.mode: found 'rw'; expected permissions such as 0600"),
        (["--listen.user", "a b"], "--listen.user: found 'a b'; expected a name, or a number"),
        (["--listen.group", "a b"], "--listen.group: found 'a b'; expected a name, or a number"),
        (["--limits.line-length", "1"], "--limits.line-length: found '1'; expected a size of 64"),
        (["--limits.lines-per-turn", "0"], "--limits.lines-per-turn: found '0'; expected a whole"),
        (
            ["--limits.label-sets", "0"],
            "--limits.label-sets: found '0'; expected a whole number, 1",
        ),
        (["--limits.targets", "0"], "--limits.targets: found '0'; expected a whole number, 1"),
        (["--limits.log-lines", "-1"], "--limits.log-lines"),
        (["--config.file", "/a/b"], "/a/b: No such file or directory; expected a YAML file"),
        (["--config.check", "--vm.grace", "5"], "--vm.grace: found '5'; expected a duration"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["--loop"], "unrecognized arguments: --loop"),
        (["record", "/a/b"], "record does not take --qmp.socket"),
        (["replay", "/a/b"], "replay does not take --qmp.socket"),
        (["--no-qmp.migration-events=yes"], "--no-qmp.migration-events"),
        (
            [],
            "no monitor to watch; expected --qmp.socket PATH, --qmp.listen PATH, or --config.file",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The flag, what was found and what was expected; exit status 2."""
    given = [] if not arguments else ["--qmp.socket", "/a/b", *NOWHERE, *arguments]
    assert cli.main(given) == 2
    assert says in said(capsys)


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("QMP_SOCKET", "nowhere", "found 'nowhere'; expected the path"),
        ("VM_GRACE", "", "found ''; expected a duration"),
        ("VM_GRACE", "forever", "found 'forever'; expected a duration"),
        ("WEB_PAGE", "true", "found 'true'; expected on or off"),
        ("WEB_LISTEN_ADDRESS", "x", "found 'x'"),
        ("WEB_TELEMETRY_PATH", "metrics", "found"),
        ("NO_QMP_MIGRATION_EVENTS", "perhaps", "found 'perhaps'; expected true or false"),
        ("LIMITS_LABEL_SETS", "many", "found 'many'; expected a whole number"),
        ("CONFIG_CHECK", "perhaps", "found 'perhaps'; expected true or false"),
    ],
)
def test_what_is_wrong_in_the_environment_is_said_by_its_variable(
    variable: str,
    text: str,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is not a flag that people have to correct."""
    monkeypatch.setenv(f"QMP_EXPORTER_{variable}", text)
    assert cli.main([]) == 2
    line = said(capsys)
    assert line.startswith(f"QMP_EXPORTER_{variable}: ")
    assert says in line


@pytest.mark.parametrize("more", [["--config.check"], []])
def test_a_file_that_is_wrong_is_told_with_its_line(
    more: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The same whether it is only checked or used; and one in which no monitor is."""
    path = tmp_path / "c.yml"
    path.write_text("qmp:\n  sockets: /a/b\n")
    assert cli.main(["--config.file", str(path), *more]) == 2
    assert said(capsys).startswith(f"{path}:2: qmp.sockets: found an unknown key; expected one of")
    path.write_text("")
    assert cli.main(["--config.file", str(path), *more]) == 2
    assert said(capsys).startswith("no monitor to watch; expected --qmp.socket PATH")


@pytest.mark.parametrize("by_flag", [True, False])
def test_what_is_set_is_shown_as_a_file(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    by_flag: bool,
) -> None:
    """Flags, variables and file together, and nothing is started; shown again it is the same."""
    path = tmp_path / "c.yml"
    path.write_text("qmp: {socket: ./é.sock}\nvm: {grace: 1m}\nlog: {level: warn}\n")
    monkeypatch.setenv("QMP_EXPORTER_LOG_FORMAT", "json")
    if not by_flag:
        monkeypatch.setenv("QMP_EXPORTER_CONFIG_CHECK", "true")
    check = ["--config.check"] if by_flag else []
    assert cli.main([*check, "--config.file", str(path), "--vm.grace", "2m"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert f"    - {tmp_path}/é.sock\n" in shown.out
    assert "  grace: 2m\n" in shown.out
    assert "  level: warn\n  format: json\n" in shown.out
    path.write_text(shown.out)
    assert cli.main([*check, "--config.file", str(path)]) == 0
    assert capsys.readouterr().out == shown.out


@pytest.mark.parametrize("pid", [1, 2])
def test_process_1_ends_by_a_signal_while_it_starts(
    pid: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel drops a signal that process 1 has no handler for; others end without one."""
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(os, "getpid", lambda: pid)
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    assert cli.main(["--qmp.socket", "/a/b", "--config.check"]) == 0
    assert capsys.readouterr().out
    assert set(handlers) == ({signal.SIGTERM} if pid == 1 else set())
    for leave in handlers.values():
        with pytest.raises(SystemExit) as ended:
            leave(signal.SIGTERM, None)
        assert ended.value.code == 0


def test_the_demo_shows_its_settings_without_a_monitor(capsys: pytest.CaptureFixture[str]) -> None:
    """It brings its own."""
    assert cli.main(["demo", "--config.check"]) == 0
    assert "  socket: []\n" in capsys.readouterr().out


def test_the_exporter_can_read_its_settings_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the file as it is then, with the same flags; a fault is an error, not an end."""
    path = tmp_path / "c.yml"
    path.write_text("qmp: {socket: /a}\nvm: {grace: 1m}\n")
    apps = []

    class App:
        def __init__(
            self, found: Settings, *, reread: Callable[[], Settings], service: Service
        ) -> None:
            self.first, self.reread, self.service = found, reread, service
            apps.append(self)

        async def run(self) -> None:
            path.write_text("qmp: {socket: /b}\nvm: {grace: 3m}\n")
            self.second = self.reread()
            for text in ("qmp: {sockets: /b}", ""):
                path.write_text(text)
                with pytest.raises(ConfigError):
                    self.reread()

    monkeypatch.setattr("qmp_exporter.app.App", App)
    assert cli.main(["--config.file", str(path), "--log.level", "warn"]) == 0
    (app,) = apps
    for found, address, grace in ((app.first, "/a", 60), (app.second, "/b", 180)):
        assert [target.address for target in found.targets] == [address]
        assert (found.vm_grace, found.log_level) == (grace, "warn")


def test_an_address_that_is_taken_is_told_and_is_no_wrong_use(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exit status 1: the same command may succeed later."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        arguments = ["--qmp.socket", f"{tmp_path}/vm", "--web.listen-address", address]
        assert cli.main(arguments) == 1
    assert said(capsys) == f"cannot listen on {address}: Address already in use"


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard output, and nothing else happens."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"qmp-exporter {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["demo", "--help"]])
def test_help_names_every_flag(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And how to set it by the environment; that of the demo names its own as well."""
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert [flag.name for flag in FLAGS if flag.name not in text] == []
    assert ("--replay" in text) is ("demo" in arguments)
    if "demo" not in arguments:
        assert "QMP_EXPORTER_QMP_SOCKET" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("replayed", [False, True])
def test_the_demo_gets_its_settings_before_or_after_its_name(
    monkeypatch: pytest.MonkeyPatch, *, replayed: bool
) -> None:
    """And needs no monitor: it brings its own."""
    ran: list[Any] = []

    async def demo(found: object, *, replayed: bool) -> None:
        ran.append((found, replayed))

    monkeypatch.setattr("qmp_exporter.demo.run.demo", demo)
    more = ["--replay"] if replayed else []
    assert cli.main([*NOWHERE, "demo", *more]) == 0
    assert cli.main(["demo", *more, *NOWHERE]) == 0
    (first, was), (second, _) = ran
    assert was is replayed
    assert first == second
    assert first.listen_addresses == ("127.0.0.1:0",)


def test_an_error_of_ours_in_a_task_is_told_as_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not as a group of groups."""

    async def fail() -> None:
        async with asyncio.TaskGroup() as outer:
            outer.create_task(inner())

    async def inner() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(broken())

    async def broken() -> None:
        raise QmpExporterError("what went wrong")

    monkeypatch.setattr("qmp_exporter.demo.run.demo", lambda *_, **__: fail())
    assert cli.main(["demo"]) == 1
    assert said(capsys) == "what went wrong"


def test_a_fault_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw is a traceback, not one kind line."""

    async def fail() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(broken())

    async def broken() -> None:
        raise KeyError("nobody foresaw this")

    monkeypatch.setattr("qmp_exporter.demo.run.demo", lambda *_, **__: fail())
    with pytest.raises(KeyError, match="nobody foresaw this"):
        cli.main(["demo"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["record"], "the following arguments are required: SOCKET"),
        (["record", "vm"], "SOCKET: found 'vm'; expected the path of a socket, with a slash in"),
        (["record", "/a/*.qmp"], "SOCKET: found the glob '/a/*.qmp'; expected the path of one"),
        (["record", "/a/b", "c", "d"], "unrecognized arguments: d"),
        (["record", "/a/b", "--speed", "1"], "unrecognized arguments: --speed"),
        (["record", "/a/b", "--max-size", "1"], "--max-size: found '1'; expected a size"),
        (["record", "/a/b", "--log.level", "info"], "unrecognized arguments: --log.level"),
        (["replay"], "the following arguments are required: FILE"),
        (["replay", "/none/x"], "/none/x: No such file or directory; expected a file of"),
        (["replay", "x", "--speed", "0"], "--speed: found '0'; expected a number above 0"),
        (["replay", "x", "--speed", "-1"], "--speed: found '-1'; expected a number above 0"),
        (["replay", "x", "--speed", "fast"], "--speed: found 'fast'; expected a number above 0"),
        (["replay", "x", "--no-qmp.migration-events"], "unrecognized arguments"),
    ],
)
def test_what_is_wrong_with_a_recording_is_said_in_one_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2, as with all flags."""
    assert cli.main(arguments) == 2
    assert says in said(capsys)


def test_a_monitor_that_cannot_be_recorded_is_no_wrong_use(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exit status 1: it may be there later. No file is left."""
    path, file = tmp_path / "vm.qmp", tmp_path / "vm.jsonl"
    assert cli.main(["record", str(path), str(file)]) == 1
    assert said(capsys) == f"{path} is gone: No such file or directory"
    assert list(tmp_path.iterdir()) == []


def test_recording_takes_its_settings_as_the_exporter_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By flag, before or after its name, by variable and by file; what it sends depends on it."""
    ran: list[Any] = []

    async def record(target: object, path: object, found: Settings, **how: Any) -> None:
        ran.append((target, path, found.migration_events, how["personal"], how["most"]))

    monkeypatch.setattr("qmp_exporter.recording.record.record", record)
    file = tmp_path / "c.yml"
    file.write_text("qmp: {migration_events: false}\n")
    off = "--no-qmp.migration-events"
    assert cli.main(["record", "/a/b"]) == 0
    assert cli.main([off, "record", "/a/b", "c", "--keep-personal", "--max-size", "1MiB"]) == 0
    assert cli.main(["record", off, "a:1"]) == 0
    assert cli.main(["record", "--config.file", str(file), "/a/b"]) == 0
    monkeypatch.setenv("QMP_EXPORTER_NO_QMP_MIGRATION_EVENTS", "true")
    assert cli.main(["record", "/a/b"]) == 0
    socket, most = Target("/a/b"), 64 * 1024 * 1024
    assert ran == [
        (socket, None, True, False, most),
        (socket, Path("c"), False, True, 1024 * 1024),
        (Target("a:1", tcp=True), None, False, False, most),
        (socket, None, False, False, most),
        (socket, None, False, False, most),
    ]


@pytest.mark.parametrize(("text", "speed"), [("max", math.inf), ("10", 10.0), ("0.5", 0.5)])
def test_a_replay_has_its_speed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, speed: float
) -> None:
    """Any number of times as fast, or without pauses."""
    ran: list[Any] = []

    async def replay(tape: Tape, socket: object, **how: Any) -> None:
        ran.append((tape.version, socket, how["speed"], how["loop"]))

    monkeypatch.setattr("qmp_exporter.recording.replay.replay", replay)
    file = tmp_path / "vm.jsonl"
    file.write_text(HEADER)
    assert cli.main(["replay", str(file), "--speed", text, "--socket", "a", "--loop"]) == 0
    assert cli.main(["replay", str(file)]) == 0
    assert ran == [((10, 0, 2), Path("a"), speed, True), ((10, 0, 2), None, 1.0, False)]


def test_garbage_is_looked_for_seldom() -> None:
    """While it runs: by Python's own measure thousands of VMs make it do little else."""
    seen: list[int] = []

    async def run() -> None:
        seen.append(gc.get_threshold()[0])

    assert cli._until_signalled(run()) == 0
    assert seen == [cli.NEW_OBJECTS]
    assert cli.NEW_OBJECTS > 10 * 700
