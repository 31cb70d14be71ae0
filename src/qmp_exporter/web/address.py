"""Addresses to listen on: what people write, and the sockets that come of it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import re
import socket
from pathlib import Path

import msgspec

from qmp_exporter.errors import ConfigError, ListenError

from .inherited import inherited


# Connections that the kernel may hold ready for us. Where more come at once, it lets a client try
# again after a second; one that waits here is let in sooner.
BACKLOG = 1024
_EXPECTED = "expected :PORT, HOST:PORT, [IPV6]:PORT or unix:PATH"
_PORT = re.compile(r"[0-9]{1,5}")
_HOST = re.compile(r"[A-Za-z0-9._-]*")
# sun_path of unix(7) has room for 108 bytes, one of them the closing zero.
_UNIX_PATH_MAX = 107
_PORT_MAX = 65535


class TcpAddress(msgspec.Struct, frozen=True):
    """A host (a name, an IP address, or "" for every address) and a port (0: any free one)."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class UnixAddress(msgspec.Struct, frozen=True):
    """The path of a unix socket, at most 107 bytes."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


class Inherited(msgspec.Struct, frozen=True):
    """The sockets that a service manager opened for us."""

    def __str__(self) -> str:
        return "the sockets of systemd"


Address = TcpAddress | UnixAddress | Inherited


def parse_address(text: str) -> Address:
    """Read ``:10767``, ``127.0.0.1:10767``, ``[::1]:10767`` or ``unix:PATH``.

    Raises:
        ConfigError: the text is none of these; the message says what was found and expected.
    """
    if text.startswith("unix:"):
        return _parse_unix(text)
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ConfigError(f"found {text!r}, a listen address without a colon; {_EXPECTED}")
    if not _PORT.fullmatch(port) or int(port) > _PORT_MAX:
        raise ConfigError(f"found the port {port!r} in {text!r}; expected 0 to {_PORT_MAX}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not _is_ipv6(host):
            raise ConfigError(f"found {host!r} in {text!r}; expected an IPv6 address in brackets")
    elif _is_ipv6(host):
        raise ConfigError(f"found {text!r}; an IPv6 address goes in brackets: [{host}]:{port}")
    elif not _HOST.fullmatch(host):
        raise ConfigError(f"found the host {host!r} in {text!r}; {_EXPECTED}")
    return TcpAddress(host, int(port))


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _parse_unix(text: str) -> UnixAddress:
    path = text.removeprefix("unix:")
    size = len(os.fsencode(path))
    if not path or "\0" in path or size > _UNIX_PATH_MAX:
        message = f"found {text!r} ({size} bytes); expected a path of 1 to {_UNIX_PATH_MAX} bytes"
        raise ConfigError(message)
    return UnixAddress(path)


async def bind(address: Address) -> list[socket.socket]:
    """Bind the address and listen on it; a name gives one socket for each of its addresses.

    Raises:
        ListenError: it cannot be bound; the message names the address and the reason.
    """
    try:
        match address:
            case Inherited():
                return inherited(os.environ)
            case UnixAddress(path):
                return [_bind_unix(path)]
            case TcpAddress("", port):
                return [_bind_everywhere(port)]
            case TcpAddress(host, port):
                return await _bind_host(host, port)
    except (OSError, UnicodeError) as error:  # the latter: a label of a name is too long
        reason = getattr(error, "strerror", None) or error
        raise ListenError(f"cannot listen on {address}: {reason}") from error


def url(sock: socket.socket, scheme: str = "http") -> str:
    """Where a bound socket really is: ``http://HOST:PORT`` or ``unix:PATH``."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"{scheme}://{TcpAddress(name[0], name[1])}"


def remove_dead(path: str) -> None:
    """Remove the file of a unix socket that belongs to no process any more, if there is one.

    Asked without a dial, which the owner would notice: a datagram socket cannot be connected to a
    stream socket (EPROTOTYPE), but learns first whether there is one (ECONNREFUSED).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        error = probe.connect_ex(path)
    if error == errno.ECONNREFUSED and Path(path).is_socket():
        Path(path).unlink(missing_ok=True)


def _bind_unix(path: str) -> socket.socket:
    remove_dead(path)
    return _listen(socket.AF_UNIX, path)


def _bind_everywhere(port: int) -> socket.socket:
    """One socket for IPv6 and IPv4; IPv4 alone where the kernel has no IPv6."""
    if socket.has_dualstack_ipv6():
        try:
            return _listen(socket.AF_INET6, ("::", port), v6only=False)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:  # IPv6 is there, and switched off
                raise
    return _listen(socket.AF_INET, ("0.0.0.0", port))  # noqa: S104  what was asked for


async def _bind_host(host: str, port: int) -> list[socket.socket]:
    """Bind each address of a host; one that this machine does not have is left out."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    with contextlib.ExitStack() as undo:
        for family, _, _, _, where in found:
            # Port 0 is chosen once, so that every address of the name has the same.
            chosen = sockets[0].getsockname()[1] if sockets else port
            try:
                sock = _listen(family, (where[0], chosen, *where[2:]))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                missing = error
            else:
                sockets.append(undo.enter_context(sock))
        if missing and not sockets:
            raise missing
        undo.pop_all()
    return sockets


def _listen(
    family: int, where: str | tuple[str | int, ...], *, v6only: bool = True
) -> socket.socket:
    with contextlib.ExitStack() as undo:
        sock = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        sock.bind(where)
        sock.listen(BACKLOG)
        undo.pop_all()
    return sock
