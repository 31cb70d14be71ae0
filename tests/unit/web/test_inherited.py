"""Sockets that a service manager opened for us."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from qmp_exporter.errors import ListenError
from qmp_exporter.web.inherited import inherited


if TYPE_CHECKING:
    from pathlib import Path


def environment(number: int = 1, names: str = "") -> dict[str, str]:
    """What systemd says of so many descriptors."""
    return {
        "LISTEN_FDS": str(number),
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDNAMES": names,
        "OTHER": "x",
    }


def test_a_listening_socket_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not block, no child of ours has it, and the environment tells of it no more."""
    with socket.create_server(("127.0.0.1", 0)) as given:
        monkeypatch.setattr("qmp_exporter.web.inherited.FIRST", given.fileno())
        given.set_inheritable(True)
        told = environment()
        (found,) = inherited(told)
        assert found.getsockname() == given.getsockname()
        assert not found.getblocking()
        assert not found.get_inheritable()
        assert told == {"OTHER": "x"}
        with pytest.raises(ListenError, match="found no socket of systemd"):
            inherited(told)
        given.detach()
        found.close()


@pytest.mark.parametrize("kind", ["connected", "bound", "datagrams"])
def test_what_does_not_listen_for_streams_is_named(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accept=yes gives a connection; the descriptor and its name are told."""
    if kind == "connected":
        given, other = socket.socketpair()
        other.close()
    else:
        sort = socket.SOCK_STREAM if kind == "bound" else socket.SOCK_DGRAM
        given = socket.socket(socket.AF_UNIX, sort)
        given.bind(str(tmp_path / "s"))
    number = given.detach()
    monkeypatch.setattr("qmp_exporter.web.inherited.FIRST", number)
    says = (
        rf"descriptor {number} \(web\) of systemd: found a socket that does not listen for streams"
    )
    with pytest.raises(ListenError, match=says):
        inherited(environment(names="web"))
