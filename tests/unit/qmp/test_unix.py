"""What the kernel tells of sockets and processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from qmp_exporter.qmp import unix
from qmp_exporter.qmp.unix import CONNECTED, CONNECTING, UnixTable, peer_pid, process_started


if TYPE_CHECKING:
    from pathlib import Path

TABLE = b"""\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 111 /run/qemu/web01.sock
0000000000000000: 00000003 00000000 00000000 0001 03 112 /run/qemu/web01.sock
0000000000000000: 00000003 00000000 00000000 0001 02 113 /run/qemu/with two spaces.sock
0000000000000000: 00000003 00000000 00000000 0001 03 114
0000000000000000: 00000002 00000000 00010000 0001 01 115 @abstract
0000000000000000: 00000002 00000000 00010000 0001 01 116 /run/\xff.sock
"""


def test_the_states_of_a_path_are_found(tmp_path: Path) -> None:
    """All rows of a path, whatever bytes it has, and none of another's."""
    (tmp_path / "unix").write_bytes(TABLE)
    table = UnixTable(tmp_path / "unix")
    assert table.states("/run/qemu/web01.sock") == (1, CONNECTED)
    assert table.states("/run/qemu/with two spaces.sock") == (CONNECTING,)
    assert table.states(os.fsdecode(b"/run/\xff.sock")) == (1,)
    assert table.states("/run/qemu/web0") == ()
    assert table.states("") == ()


def test_no_table_shows_nothing(tmp_path: Path) -> None:
    """A system that hides it is one on which only dialling tells."""
    assert UnixTable(tmp_path / "nothing").states("/run/qemu/web01.sock") == ()


def test_many_looks_read_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand targets that are looked at together cost one reading; later it is read again."""
    clock = [100.0]
    monkeypatch.setattr(unix, "monotonic", lambda: clock[0])
    (tmp_path / "unix").write_bytes(TABLE)
    table = UnixTable(tmp_path / "unix")
    assert table.states("/run/qemu/web01.sock") == (1, CONNECTED)
    (tmp_path / "unix").write_bytes(b"")
    clock[0] += 0.05
    assert table.states("/run/qemu/web01.sock") == (1, CONNECTED)
    clock[0] += 0.1
    assert table.states("/run/qemu/web01.sock") == ()


def test_the_kernel_s_own_table_shows_who_is_served(tmp_path: Path) -> None:
    """A waiting client is a row in state 2, a served one a row in state 3 of the same path."""
    path = str(tmp_path / "vm.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        assert UnixTable().states(path) == (1,)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            assert sorted(UnixTable().states(path)) == [1, CONNECTING]
            accepted, _ = listener.accept()
            with accepted:
                assert sorted(UnixTable().states(path)) == [1, CONNECTED]
        assert UnixTable().states(path) == (1,)


def test_the_pid_of_the_peer_is_told(tmp_path: Path) -> None:
    """It is that of the process that made the socket; TCP does not tell."""
    path = tmp_path / "vm.sock"
    code = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1])\n"
        "s.listen(); print(flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            assert peer_pid(sock) == child.pid
        child.communicate()
    with socket.create_server(("127.0.0.1", 0)) as listener, dialled(listener) as sock:
        assert peer_pid(sock) is None


def dialled(listener: socket.socket) -> socket.socket:
    """A connection to a listener on TCP."""
    return socket.create_connection(listener.getsockname())


def test_when_a_process_started_is_told() -> None:
    """In Unix seconds, to within the kernel's clock tick and the second of the boot time."""
    before = time.time()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        started = process_started(child.pid)
        child.communicate()
    assert started is not None
    assert abs(started - before) < 3


def test_a_process_that_is_not_there_has_no_start() -> None:
    """It has ended, is another user's behind hidepid, or of another pid namespace."""
    with subprocess.Popen(["true"]) as child:
        pass
    assert process_started(child.pid) is None
    assert process_started(None) is None


@pytest.mark.parametrize("name", [b"a) b (c", b"\xff\xfe", "gr\u00f6\u00df".encode()[:3], b"0 1 2"])
def test_a_process_may_call_itself_anything(name: bytes) -> None:
    """QEMU's `-name process=` is cut to 15 bytes, in the middle of a character or not."""
    code = (
        "import sys; open('/proc/self/comm', 'wb').write(bytes.fromhex(sys.argv[1]))\n"
        "print(flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, name.hex()], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        started = process_started(child.pid)
        child.communicate()
    assert started is not None
    assert abs(started - time.time()) < 10


def test_a_path_through_a_link_is_found_either_way(tmp_path: Path) -> None:
    """QEMU was given one path, the exporter another: /var/run is often a link to /run."""
    folder, link = tmp_path / "run", tmp_path / "var"
    folder.mkdir()
    link.symlink_to(folder)
    for bound in (folder / "a.sock", link / "b.sock"):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(bound))
            listener.listen(1)
            assert UnixTable().states(str(bound)) == (1,)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "c.sock"))
        listener.listen(1)
        assert UnixTable().states(str(link / "c.sock")) == (1,)


def test_a_long_table_is_not_read_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is good for twenty times what reading it took."""
    clock = [100.0]
    monkeypatch.setattr(unix, "monotonic", lambda: clock[0])
    (tmp_path / "unix").write_bytes(TABLE)
    table = UnixTable(tmp_path / "unix")
    read = table._read

    def slow() -> None:
        read()
        clock[0] += 0.05
        table._read_at = clock[0]

    monkeypatch.setattr(table, "_read", slow)
    assert table.states("/run/qemu/web01.sock")
    (tmp_path / "unix").write_bytes(b"")
    clock[0] += 0.9
    assert table.states("/run/qemu/web01.sock")
    clock[0] += 0.2
    assert not table.states("/run/qemu/web01.sock")


def test_what_was_done_since_it_was_read_is_seen(tmp_path: Path) -> None:
    """A dial of ours is a reason to look again, however young the table is."""
    (tmp_path / "unix").write_bytes(TABLE)
    table = UnixTable(tmp_path / "unix")
    before = time.monotonic()
    assert table.states("/run/qemu/web01.sock")
    (tmp_path / "unix").write_bytes(b"")
    assert table.states("/run/qemu/web01.sock", before)
    assert not table.states("/run/qemu/web01.sock", time.monotonic())


def test_a_name_with_line_feeds_does_no_harm(tmp_path: Path) -> None:
    """Anybody may bind one, and the kernel prints it as it is: no other row is lost."""
    name = b"@a\n1 2 3 4 5 zz 7 /run/qemu/web01.sock\n\x0b\x1c\n: : : : : : : :\n\n"
    forged = b"0000000000000000: 00000002 00000000 00010000 0001 01 99 " + name
    (tmp_path / "unix").write_bytes(TABLE.replace(b"Path\n", b"Path\n" + forged, 1))
    assert UnixTable(tmp_path / "unix").states("/run/qemu/web01.sock") == (1, CONNECTED)
