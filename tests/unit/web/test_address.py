"""Listen addresses: what is understood, what is refused, what is bound."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

import pytest

from qmp_exporter.errors import ConfigError, ListenError
from qmp_exporter.web import address as address_module
from qmp_exporter.web.address import (
    TcpAddress,
    UnixAddress,
    bind,
    parse_address,
    remove_dead,
    url,
)


if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":10767", TcpAddress("", 10767)),
        (":0", TcpAddress("", 0)),
        ("127.0.0.1:10767", TcpAddress("127.0.0.1", 10767)),
        ("[::1]:10767", TcpAddress("::1", 10767)),
        ("[fe80::1%eth0]:65535", TcpAddress("fe80::1%eth0", 65535)),
        ("my-host.example:80", TcpAddress("my-host.example", 80)),
        ("unix:/run/x.sock", UnixAddress("/run/x.sock")),
        ("unix:" + "a" * 107, UnixAddress("a" * 107)),
    ],
)
def test_address_is_read_and_written_back(text: str, address: TcpAddress | UnixAddress) -> None:
    """Each documented form gives its address, and the address reads as it was written."""
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10767",
        ":",
        ":x",
        ":-1",
        ":65536",
        ":123456",
        ":\u0661",
        "[::1]",
        "[::1:10767",
        "[nonsense]:1",
        "[127.0.0.1]:1",
        "http://host:1",
        "a b:1",
        "unix:",
        "unix:a\0b",
        "unix:" + "\u00e9" * 54,
    ],
)
def test_refusal_names_found_and_expected(text: str) -> None:
    """What is no address is a ConfigError that says what was found and what is right."""
    with pytest.raises(ConfigError) as caught:
        parse_address(text)
    message = str(caught.value)
    assert repr(text) in message
    assert "expected" in message


def test_ipv6_without_brackets_gets_a_hint() -> None:
    """Where the last part could be port or address, the message says how to write it."""
    with pytest.raises(ConfigError, match=r"found '::1:10767'; .* goes in brackets: \[::1\]:10767"):
        parse_address("::1:10767")


async def test_empty_host_is_one_socket_for_both_families() -> None:
    """``:0`` takes callers over IPv4 and IPv6 on one port."""
    (sock,) = await bind(parse_address(":0"))
    with sock:
        port = sock.getsockname()[1]
        assert url(sock) == f"http://[::]:{port}"
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=5).close()


@pytest.mark.parametrize("built_in", [False, True])
async def test_without_ipv6_there_is_ipv4(
    built_in: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a kernel without IPv6, or with it switched off, an empty host is every IPv4 address."""
    real = address_module._listen

    def listen(family: int, *args: Any, **kwargs: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return real(family, *args, **kwargs)

    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: built_in)
    monkeypatch.setattr(address_module, "_listen", listen)
    (sock,) = await bind(parse_address(":0"))
    with sock:
        assert url(sock) == f"http://0.0.0.0:{sock.getsockname()[1]}"


async def test_explicit_ipv6_leaves_ipv4_alone() -> None:
    """An address in brackets takes nobody over IPv4."""
    (sock,) = await bind(parse_address("[::]:0"))
    with sock, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", sock.getsockname()[1]), timeout=5)


async def test_name_binds_all_its_addresses_on_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name stands for each address of it that is ours; a free port is chosen once."""
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: found)
    four, six = await bind(parse_address("a-name:0"))
    with four, six:
        assert (four.getsockname()[0], six.getsockname()[0]) == ("127.0.0.1", "::1")
        assert four.getsockname()[1] == six.getsockname()[1] != 0


async def test_name_that_is_not_known_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that cannot be resolved is named, with the reason."""

    def fail(*_args: object, **_kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ListenError, match="a-name:1: Name or service not known"):
        await bind(parse_address("a-name:1"))


async def test_impossible_name_is_an_error() -> None:
    """A name that cannot even be asked for (a label over 63 letters) is a ListenError too."""
    with pytest.raises(ListenError, match=r"cannot listen on a{64}:1: "):
        await bind(parse_address("a" * 64 + ":1"))


async def test_address_of_another_machine_is_an_error() -> None:
    """An address that this machine does not have is named, with the reason (TEST-NET-1)."""
    with pytest.raises(ListenError, match=r"cannot listen on 192\.0\.2\.1:0: .*assign"):
        await bind(parse_address("192.0.2.1:0"))


async def test_port_in_use_is_an_error() -> None:
    """A taken port is named, with the reason."""
    (sock,) = await bind(parse_address("127.0.0.1:0"))
    with sock:
        address = TcpAddress("127.0.0.1", sock.getsockname()[1])
        with pytest.raises(ListenError, match=f"{address}: Address already in use"):
            await bind(address)


async def test_unix_socket_of_a_dead_process_is_replaced(tmp_path: Path) -> None:
    """A socket that a killed process left behind is no obstacle."""
    path = tmp_path / "web.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    (sock,) = await bind(UnixAddress(str(path)))
    with sock:
        assert url(sock) == f"unix:{path}"


async def test_unix_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    """The socket of a live process is kept, and its owner does not even see a connection."""
    path = tmp_path / "web.sock"
    (owner,) = await bind(UnixAddress(str(path)))
    with owner:
        with pytest.raises(ListenError, match="Address already in use"):
            await bind(UnixAddress(str(path)))
        assert path.is_socket()
        owner.settimeout(0)
        with pytest.raises(BlockingIOError):
            owner.accept()


async def test_file_is_never_removed(tmp_path: Path) -> None:
    """A path that is no socket is an error, and stays."""
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(ListenError, match="Address already in use"):
        await bind(UnixAddress(str(path)))
    remove_dead(str(path))
    assert path.read_text() == "data"


async def test_missing_directory_is_an_error(tmp_path: Path) -> None:
    """A unix socket in a directory that is not there is named, with the reason."""
    with pytest.raises(ListenError, match="No such file or directory"):
        await bind(UnixAddress(str(tmp_path / "none" / "web.sock")))
