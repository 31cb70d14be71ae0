"""The socket at which QEMU dials in: whose it is, who may, and what becomes of each connection."""

from __future__ import annotations

import asyncio
import errno
import grp
import os
import pwd
import socket
import stat
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from fake_dialler import FakeDialler
from qmp_exporter.errors import ListenError
from qmp_exporter.model.target import Listening
from qmp_exporter.qmp import listen as module
from qmp_exporter.qmp.context import Context
from qmp_exporter.qmp.listen import Listener
from qmp_exporter.qmp.unix import UnixTable
from unit.qmp.watching import PATIENCE, QUICK, decode, nothing_left, until


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from qmp_exporter.qmp.connection import Connection
    from qmp_exporter.qmp.timing import Timing


NOBODY = 65534


class Notes:
    """What a listener tells."""

    def __init__(self) -> None:
        self.taken: list[Connection] = []
        self.rejected: list[str] = []
        self.answer = ""

    def take(self, _: Listening, connection: Connection) -> str:
        """Take a connection, or refuse."""
        if not self.answer:
            self.taken.append(connection)
        return self.answer


def listener_at(path: Path, notes: Notes, timing: Timing = QUICK, **changed: object) -> Listener:
    """A listener that is not open yet."""
    where = Listening(str(path), **changed)  # type: ignore[arg-type]
    context = Context(decode, UnixTable(), timing=timing)
    return Listener(where, context, notes.take, notes.rejected.append)


@asynccontextmanager
async def listening(
    path: Path, timing: Timing = QUICK, **changed: object
) -> AsyncIterator[tuple[Listener, Notes]]:
    """Run a listener; fail if it leaves a task, a descriptor or its path behind."""
    notes = Notes()
    async with nothing_left():
        listener = listener_at(path, notes, timing, **changed)
        listener.open()
        task = asyncio.create_task(listener.run())
        try:
            yield listener, notes
        finally:
            task.cancel()
            await asyncio.wait((task,))
            listener.close()
            for connection in notes.taken:
                await connection.close()
        assert task.cancelled()
    assert not there(path)


def mode_of(path: Path) -> int:
    """The permissions of a path."""
    return stat.S_IMODE(path.stat().st_mode)


def group_of(path: Path) -> int:
    """The group of a path."""
    return path.stat().st_gid


def there(path: Path) -> bool:
    """Whether anything is at a path."""
    return path.exists()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where QEMU dials in."""
    return tmp_path / "hub.sock"


# ---- the path


async def test_it_is_for_its_owner_alone_unless_told_otherwise(path: Path) -> None:
    """0600; a mode and a group of one's choice, at once and by a change."""
    group = os.getgroups()[0] if os.getgroups() else os.getgid()
    async with listening(path) as (listener, _):
        assert mode_of(path) == 0o600
        listener.change(Listening(str(path), mode=0o660, group=grp.getgrgid(group).gr_name))
        assert mode_of(path) == 0o660
        assert group_of(path) == group
    async with listening(path, mode=0o620, group=str(group)):
        assert mode_of(path) == 0o620


def test_nobody_else_can_dial_in_before_it_is_whose_it_is_to_be(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From bind(2) on the path has no more rights than 0600, whatever the umask."""
    seen: list[int] = []
    before = os.umask(0)
    chown = os.chown

    def looked(where: str, *ids: int) -> None:
        seen.append(mode_of(path))
        chown(where, *ids)

    monkeypatch.setattr(module.os, "chown", looked)
    try:
        listener = listener_at(path, Notes(), mode=0o666)
        listener.open()
        listener.close()
    finally:
        os.umask(before)
    assert seen == [0o600]


def test_what_an_exporter_that_was_killed_left_is_taken_over(path: Path) -> None:
    """A socket at which nobody listens is removed."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    assert path.exists()
    listener = listener_at(path, Notes())
    listener.open()
    listener.close()
    assert not there(path)


@pytest.mark.parametrize("shown", [True, False])
def test_a_socket_of_somebody_who_listens_is_left_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, shown: bool
) -> None:
    """And not even dialled where the kernel's table shows it; it may be the monitor of a QEMU."""
    if not shown:
        monkeypatch.setattr(UnixTable, "states", lambda *_: ())
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        other.setblocking(False)  # noqa: FBT003 - its name
        with pytest.raises(ListenError, match="another process does"):
            listener_at(path, Notes()).open()
        if shown:
            with pytest.raises(BlockingIOError):
                other.accept()
    assert path.exists()


def test_what_is_no_socket_is_left_alone(path: Path) -> None:
    """A file that somebody may need."""
    path.write_text("precious")
    with pytest.raises(ListenError, match="no socket"):
        listener_at(path, Notes()).open()
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"group": "no-such-group"}, "group: found 'no-such-group'"),
        ({"users": ("no-such-user",)}, "users: found 'no-such-user'"),
    ],
)
async def test_who_does_not_exist_is_told_before_anything_is_done(
    path: Path, changed: dict[str, object], says: str
) -> None:
    """At the start, and by a change, which then changes nothing."""
    with pytest.raises(ListenError, match=says):
        listener_at(path, Notes(), **changed).open()
    assert not there(path)
    async with listening(path) as (listener, _):
        with pytest.raises(ListenError, match=says):
            listener.change(Listening(str(path), mode=0o666, **changed))  # type: ignore[arg-type]
        assert mode_of(path) == 0o600


@pytest.mark.parametrize("where", ["no-folder/hub.sock", "x" * 120])
def test_a_path_that_cannot_be_bound_is_named(tmp_path: Path, where: str) -> None:
    """With the reason."""
    with pytest.raises(ListenError, match=where):
        listener_at(tmp_path / where, Notes()).open()


def test_a_path_that_another_took_over_is_not_removed(path: Path) -> None:
    """It is theirs now."""
    listener = listener_at(path, Notes())
    listener.open()
    path.unlink()
    path.touch()
    listener.close()
    assert path.exists()


# ---- who dials in


async def test_a_qemu_that_dials_in_is_identified_and_handed_over(path: Path) -> None:
    """With its name, its pid and the path; what it sends meanwhile is kept."""
    labels = (("rack", "r1"),)
    async with (
        listening(path, labels=labels) as (_, notes),
        FakeDialler(path, name="web01") as qemu,
    ):
        await until(lambda: notes.taken, "the connection")
        (connection,) = notes.taken
        identity = connection.identity
        assert identity is not None
        assert (identity.name, identity.pid) == ("web01", os.getpid())
        assert (identity.monitor, identity.labels) == (str(path), labels)
        assert connection.target.address == f"{path}#{os.getpid()}"
        await qemu.send_event("POWERDOWN")
        lines: list[bytes] = []
        connection.follow(lines.append, lambda *_: None, lambda _lines, start, _end: start)
        await until(lambda: lines, "the event")
        await connection.close()
    assert notes.rejected == []


@pytest.mark.parametrize("answer", ["duplicate", "too-many"])
async def test_what_is_not_wanted_is_hung_up_on(path: Path, answer: str) -> None:
    """And counted each time, though it is logged once."""
    async with listening(path) as (_, notes):
        notes.answer = answer
        async with FakeDialler(path):
            await until(lambda: len(notes.rejected) >= 3, "three rejections")
    assert set(notes.rejected) == {answer}


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) ", "not-qmp"),
        (b"", "no-answer"),
        (b'{"QMP": ', "no-answer"),
    ],
)
async def test_who_is_no_qemu_is_hung_up_on(path: Path, sent: bytes, reason: str) -> None:
    """In time, whatever it says or does not say."""
    timing = type(QUICK)(connect=0.05)
    async with listening(path, timing) as (_, notes):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(sent + (b"\r\n" if reason == "not-qmp" else b""))
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
        writer.close()
        await until(lambda: notes.rejected, "the rejection")
    assert notes.rejected == [reason]


async def test_who_closes_at_once_is_no_answer(path: Path) -> None:
    """Such as a port scanner."""
    async with listening(path) as (_, notes):
        for _ in range(5):
            _, writer = await asyncio.open_unix_connection(path)
            writer.transport.abort()
        await until(lambda: len(notes.rejected) == 5, "the rejections")
    assert set(notes.rejected) == {"no-answer"}


async def test_another_user_is_hung_up_on_unless_he_was_named(path: Path) -> None:
    """By number or name, by the credentials that the kernel tells; root and oneself always may."""
    if os.geteuid() != 0:
        pytest.skip("takes root, to become another user")
    path.parent.chmod(0o755)
    for folder in path.parent.parents:
        if folder.stat().st_uid == 0 and folder != folder.parent:
            folder.chmod(folder.stat().st_mode | 0o055)
    code = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX)\n"
        "s.connect(sys.argv[1])\n"
        "try: s.sendall(b'nonsense\\n'); print(s.recv(100))\nexcept ConnectionError: print(b'')"
    )
    command = (sys.executable, "-S", "-c", code, str(path))
    name = pwd.getpwuid(NOBODY).pw_name
    for users, reason in (((), "user"), ((name,), "not-qmp"), ((str(NOBODY),), "not-qmp")):
        async with listening(path, mode=0o666, users=users) as (_, notes):
            told = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, check=True, timeout=PATIENCE
            )
            await until(lambda notes=notes: notes.rejected, "the rejection")
        assert told.stdout == b"b''\n"
        assert notes.rejected == [reason]


async def test_a_crowd_at_the_door_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many at a time may be silent; those beyond are hung up on at once."""
    monkeypatch.setattr(module, "MAX_GREETING", 3)
    async with listening(path) as (_, notes):
        silent = [await asyncio.open_unix_connection(path) for _ in range(10)]
        await until(lambda: len(notes.rejected) == 7, "the rejections")
        assert set(notes.rejected) == {"too-many"}
        for _, writer in silent:
            writer.transport.abort()
        await until(lambda: len(notes.rejected) == 10, "the others")


async def test_it_goes_on_when_descriptors_run_out(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And takes those who wait once there are some."""
    loop = asyncio.get_running_loop()
    accept, failures = loop.sock_accept, [24, 24, 104]

    async def failing(sock: socket.socket) -> tuple[socket.socket, object]:
        if failures:
            raise OSError(failures.pop(), "no more")
        return await accept(sock)

    monkeypatch.setattr(loop, "sock_accept", failing)
    monkeypatch.setattr(module, "PAUSE", 0.01)
    async with listening(path) as (_, notes), FakeDialler(path):
        await until(lambda: notes.taken, "the connection")
    assert failures == []


async def test_a_fault_of_ours_is_logged_and_the_next_one_is_taken(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever one QEMU brings about."""
    async with listening(path) as (listener, notes):
        taken = listener._taken

        def failing(*args: object) -> str:
            listener._taken = taken
            raise ValueError(args)

        listener._taken = failing
        async with FakeDialler(path):
            await until(lambda: notes.taken, "the connection")
    assert [r.getMessage() for r in caplog.records if r.exc_info] == [
        f"{path}: a fault of the exporter"
    ]


async def test_without_descriptors_it_cannot_listen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is said as any other reason, also where a stale socket is to be looked at."""

    def none(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "stale"))
    for name in ("new", "stale"):
        with monkeypatch.context() as patch:
            patch.setattr(module.socket, "socket", none)
            with pytest.raises(ListenError, match="Too many open files"):
                listener_at(tmp_path / name, Notes()).open()


async def test_what_cannot_be_taken_is_not_tried_without_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as where a security module refuses: all others have their turns."""
    tries = 0

    async def refused(_: object) -> None:
        nonlocal tries
        tries += 1
        assert tries < 100, "the event loop is blocked"
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_accept", refused, raising=False)
    listener = listener_at(tmp_path / "hub", Notes())
    listener.open()
    task = asyncio.create_task(listener.run())
    await until(lambda: tries, "a try")
    task.cancel()
    await asyncio.wait((task,))
    listener.close()
    assert task.cancelled()
