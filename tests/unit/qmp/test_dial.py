"""How a monitor is reached, and what each way of not reaching it is called."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from qmp_exporter.errors import (
    BusyError,
    DeniedError,
    GoneError,
    NotQmpError,
    RefusedError,
    SessionError,
    UnreachableError,
)
from qmp_exporter.model.target import Target
from qmp_exporter.qmp.dial import dial, fingerprint
from qmp_exporter.qmp.unix import UnixTable


if TYPE_CHECKING:
    from collections.abc import Iterator

NOTHING = UnixTable(Path("/nonexistent"))
NOBODY = 65534


def listen(path: Path, backlog: int = 5) -> socket.socket:
    """A listener that accepts nobody by itself."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(backlog)
    return listener


def touch(path: Path) -> None:
    """Make an empty file."""
    path.touch()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the monitor is."""
    return tmp_path / "vm.sock"


async def test_a_socket_that_listens_is_reached(path: Path) -> None:
    """The result is connected and does not block."""
    with listen(path) as listener, await dial(Target(str(path)), UnixTable(), 1) as sock:
        assert sock.getblocking() is False
        accepted, _ = listener.accept()
        with accepted:
            accepted.send(b"x")
            assert sock.recv(1) == b"x"


async def test_no_file_is_gone(path: Path) -> None:
    """Also where a directory of the path is none, or not there."""
    touch(path)
    for missing in (path.with_name("other"), path / "below", path.with_name("no") / "vm.sock"):
        with pytest.raises(GoneError):
            await dial(Target(str(missing)), UnixTable(), 1)


async def test_a_socket_without_a_listener_is_refused(path: Path) -> None:
    """As QEMU leaves it when it is killed, and as it is before listen(2)."""
    listen(path).close()
    with pytest.raises(RefusedError):
        await dial(Target(str(path)), UnixTable(), 1)
    other = f"{path}2"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(other)
        with pytest.raises(RefusedError):
            await dial(Target(other), UnixTable(), 1)


async def test_what_is_no_stream_socket_is_not_qmp(path: Path) -> None:
    """A regular file, a directory, a fifo, a datagram socket: no QEMU has ended there."""
    touch(path)
    fifo = path.with_name("fifo")
    os.mkfifo(fifo)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(str(path.with_name("datagrams")))
        for other in (path, path.parent, fifo, path.with_name("datagrams")):
            with pytest.raises(NotQmpError):
                await dial(Target(str(other)), UnixTable(), 1)


def test_a_socket_of_another_user_is_denied(path: Path) -> None:
    """A process that is not root meets mode 0000."""
    code = (
        "import asyncio, sys; from qmp_exporter.errors import DeniedError\n"
        "from qmp_exporter.model.target import Target\n"
        "from qmp_exporter.qmp.dial import dial; from qmp_exporter.qmp.unix import UnixTable\n"
        "import os; os.geteuid() or os.seteuid(65534)\n"
        "try: asyncio.run(dial(Target(sys.argv[1]), UnixTable(), 1))\n"
        "except DeniedError as err: print(err.reason, err)\n"
    )
    with listen(path):
        path.chmod(0)
        found = subprocess.run(
            [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
        )
    assert found.stdout == "denied Permission denied\n"


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOENT, GoneError),
        (errno.ENOTDIR, GoneError),
        (errno.ECONNREFUSED, RefusedError),
        (errno.EACCES, DeniedError),
        (errno.EPERM, DeniedError),
        (errno.EAGAIN, BusyError),
        (errno.EPROTOTYPE, NotQmpError),
        (errno.EMFILE, UnreachableError),
        (errno.EHOSTUNREACH, UnreachableError),
        (errno.ENETUNREACH, UnreachableError),
        (errno.ETIMEDOUT, UnreachableError),
        (errno.EINTR, UnreachableError),
    ],
)
@pytest.mark.parametrize("tcp", [False, True])
async def test_only_what_says_that_qemu_has_ended_is_taken_for_it(
    monkeypatch: pytest.MonkeyPatch, path: Path, number: int, kind: type[SessionError], *, tcp: bool
) -> None:
    """Every error of the kernel is some SessionError; only two kinds mean that QEMU is gone."""

    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    async def fail_later(*_: Any) -> None:
        fail()

    monkeypatch.setattr(socket.socket, "connect", fail)
    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", fail_later)
    with listen(path):
        target = Target("127.0.0.1:9", tcp=True) if tcp else Target(str(path))
        with pytest.raises(SessionError) as caught:
            await dial(target, NOTHING, 1)
    assert type(caught.value) is kind
    assert str(caught.value) in (os.strerror(number), "no connection within 1 s")


async def test_no_file_descriptor_left_is_an_error_of_this_target(
    monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    """Where not even a socket can be made, nothing but this attempt fails."""

    def none_left(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", none_left)
    for target in (Target(str(path)), Target("127.0.0.1:9", tcp=True)):
        with pytest.raises(UnreachableError, match="Too many open files"):
            await dial(target, NOTHING, 1)


async def test_a_full_backlog_is_busy(path: Path) -> None:
    """As with a monitor of QEMU's, which has room for two that wait."""
    with ExitStack() as stack:
        stack.enter_context(listen(path, backlog=1))
        for _ in range(2):
            stack.enter_context(await dial(Target(str(path)), NOTHING, 1))
        with pytest.raises(BusyError):
            await dial(Target(str(path)), NOTHING, 1)


async def test_a_monitor_in_use_is_not_dialled(path: Path) -> None:
    """A client that is served, and one that only waits, are seen without another dial."""
    with listen(path) as listener:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            with pytest.raises(BusyError, match="another client"):
                await dial(Target(str(path)), UnixTable(), 1)
            accepted, _ = listener.accept()
            with accepted, pytest.raises(BusyError, match="another client"):
                await dial(Target(str(path)), UnixTable(), 1)
        listener.setblocking(False)  # noqa: FBT003 - its only parameter
        with pytest.raises(BlockingIOError):
            listener.accept()
        (await dial(Target(str(path)), UnixTable(), 1)).close()


# ---- TCP


@pytest.fixture
def tcp_listener() -> Iterator[socket.socket]:
    """A listener on the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


async def test_a_tcp_monitor_is_reached_and_kept_alive(tcp_listener: socket.socket) -> None:
    """A host that vanishes without a word is noticed by the kernel within a minute."""
    port = tcp_listener.getsockname()[1]
    with await dial(Target(f"127.0.0.1:{port}", tcp=True), UnixTable(), 1) as sock:
        assert sock.getpeername() == ("127.0.0.1", port)
        assert sock.getblocking() is False
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle, interval, count = (
            sock.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
    assert idle + interval * count <= 60


async def test_ipv6_in_brackets_is_reached() -> None:
    """The brackets are no part of the address."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]
        with await dial(Target(f"[::1]:{port}", tcp=True), UnixTable(), 1) as sock:
            assert sock.getpeername()[0] == "::1"


async def test_every_address_of_a_name_is_tried(
    monkeypatch: pytest.MonkeyPatch, tcp_listener: socket.socket
) -> None:
    """`localhost` is ::1 first, where QEMU listens on 127.0.0.1 only."""
    port = tcp_listener.getsockname()[1]

    async def resolved(*_: Any, **__: Any) -> list[Any]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolved)
    with await dial(Target(f"localhost:{port}", tcp=True), UnixTable(), 1) as sock:
        assert sock.getpeername()[0] == "127.0.0.1"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_an_address_that_refuses_says_more_than_one_that_is_not_reached(
    monkeypatch: pytest.MonkeyPatch, order: tuple[int, int]
) -> None:
    """Whatever the order: where nothing listens QEMU has ended, IPv6 or not."""
    infos: list[Any] = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 9, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 9)),
    ]

    async def resolved(*_: Any, **__: Any) -> list[Any]:
        return [infos[at] for at in order]

    async def fail(sock: socket.socket, _: object) -> None:
        refused = sock.family == socket.AF_INET
        raise OSError(errno.ECONNREFUSED if refused else errno.ENETUNREACH, "no")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolved)
    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", fail)
    before = open_files()
    with pytest.raises(RefusedError):
        await dial(Target("localhost:9", tcp=True), UnixTable(), 1)
    assert open_files() == before


async def test_a_closed_port_is_refused(tcp_listener: socket.socket) -> None:
    """Nothing listens: QEMU has ended, or not begun."""
    port = tcp_listener.getsockname()[1]
    tcp_listener.close()
    with pytest.raises(RefusedError):
        await dial(Target(f"127.0.0.1:{port}", tcp=True), UnixTable(), 1)


async def test_a_name_that_cannot_be_resolved_does_not_mean_that_qemu_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The numbers of getaddrinfo's errors are not those of the kernel."""

    async def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fail)
    with pytest.raises(UnreachableError, match="Temporary failure"):
        await dial(Target("vm.test:4444", tcp=True), UnixTable(), 1)


async def test_a_host_that_does_not_answer_is_given_up_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the time limit it is given up, and no socket is left."""

    async def silence(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", silence)
    before = open_files()
    with pytest.raises(UnreachableError, match=r"within 0\.05 s"):
        await dial(Target("127.0.0.1:9", tcp=True), UnixTable(), 0.05)
    assert open_files() == before


async def test_a_cancelled_dial_leaves_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stops waiting for a host has nothing to close."""
    under_way = asyncio.Event()

    async def silence(*_: Any) -> None:
        under_way.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", silence)
    before = open_files()
    task = asyncio.create_task(dial(Target("127.0.0.1:9", tcp=True), UnixTable(), 5))
    await under_way.wait()
    assert open_files() != before
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert open_files() == before


def open_files() -> set[Path]:
    """The sockets of this process."""
    found = set()
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing
            found.add(fd.readlink())
    return {path for path in found if path.name.startswith("socket:")}


# ---- which socket it is


def test_a_socket_made_again_is_another(path: Path) -> None:
    """The same path, even the same inode: QEMU has been started again."""
    target = Target(str(path))
    assert fingerprint(target) is None
    listen(path).close()
    first = fingerprint(target)
    assert first is not None
    assert fingerprint(target) == first
    path.unlink()
    listen(path).close()
    assert fingerprint(target) not in (None, first)


def test_nothing_tells_one_tcp_monitor_from_the_next() -> None:
    """There is no file to look at."""
    assert fingerprint(Target("127.0.0.1:9", tcp=True)) is None
