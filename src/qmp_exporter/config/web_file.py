"""The web configuration file: TLS, passwords, headers and a rate, as all exporters have them.

What it may say, and what that means, is that of prometheus/exporter-toolkit 0.20
(docs/web-configuration.md, web/tls_config.go, web/handler.go); docs/web-config.md says where we
differ.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

import msgspec

from qmp_exporter.config import go_yaml
from qmp_exporter.config.web_tls import Tls, read_tls


if TYPE_CHECKING:
    from qmp_exporter.config.given import Given


HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
    "Content-Security-Policy": (),
}
"""The headers that can be set, with the values that they can have, if not any."""

_COST: Final = range(4, 32)
_COST_WRITTEN: Final = re.compile(rb"\+?[0-9]{1,2}")
_SHORTEST: Final = 59  # bytes of a bcrypt hash: $2$, a cost, a salt of 22 and a hash of 31


class Rate(msgspec.Struct, frozen=True):
    """A limit on requests.

    Attributes:
        interval: seconds after which one more is let through.
        burst: requests that may come at once.
    """

    interval: float
    burst: int


class WebFile(msgspec.Struct, frozen=True):
    """What the file says.

    Attributes:
        tls: None for plain HTTP.
        users: from names to bcrypt hashes, both in UTF-8; nobody is asked where it is empty.
        headers: of every answer.
        rate: None for no limit.
        remarks: what may not be meant as it is written.
    """

    tls: Tls | None = None
    users: dict[bytes, bytes] = {}
    headers: dict[str, str] = {}
    rate: Rate | None = None
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"WebFile({self.tls!r}, {len(self.users)} users, {self.headers!r}, {self.rate!r})"


def read_web_file(path: str) -> WebFile:
    """Return what a web configuration file says.

    Raises:
        ConfigError: it cannot be read, or is wrong; hashes and keys are not in the message.
    """
    given = go_yaml.read_go(path)
    top = go_yaml.members(
        given, "tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"
    )
    remarks: list[str] = []
    folder = os.path.dirname(path)  # noqa: PTH120 - links stay as they are
    return WebFile(
        go_yaml.of(top, "tls_server_config", lambda value: read_tls(value, folder, remarks)),
        go_yaml.of(top, "basic_auth_users", _users, {}),
        go_yaml.of(top, "http_server_config", _headers, {}),
        go_yaml.of(top, "rate_limit", lambda value: _rate(value, remarks)),
        tuple(remarks),
    )


def _users(given: Given) -> dict[bytes, bytes]:
    users: dict[bytes, bytes] = {}
    for name, value in go_yaml.members(given).items():
        users[name.encode()] = hashed = go_yaml.text(value).encode()
        if fault := _fault(hashed):
            raise value.wrong("a bcrypt hash, as `htpasswd -nBC 10 NAME` makes it", fault)
    return users


def _fault(hashed: bytes) -> str:
    """Return what keeps a text from being a bcrypt hash, as Go's ``bcrypt.Cost`` judges."""
    if len(hashed) < _SHORTEST:
        return f"{len(hashed)} bytes"
    if hashed[:1] != b"$" or hashed[1:2] > b"2":
        return "a text that does not begin with $2"
    cost = cost_of(hashed)
    if not _COST_WRITTEN.fullmatch(cost) or int(cost) not in _COST:
        return f"a cost that is not {_COST[0]} to {_COST[-1]}"
    return ""


def cost_of(hashed: bytes) -> bytes:
    """Return the two digits of a bcrypt hash that are its cost."""
    start = 3 if hashed[2:3] == b"$" else 4
    return hashed[start : start + 2]


def _headers(given: Given) -> dict[str, str]:
    found = go_yaml.members(given, "http2", "headers")
    go_yaml.of(found, "http2", go_yaml.boolean)
    headers: dict[str, str] = {}
    for name, value in go_yaml.of(found, "headers", go_yaml.members, {}).items():
        if name not in HEADERS:
            raise value.wrong(f"one of {', '.join(HEADERS)}", "a header that cannot be set")
        text = go_yaml.text(value)
        if HEADERS[name] and text not in HEADERS[name]:
            raise value.wrong(" or ".join(HEADERS[name]), repr(text))
        if text:
            headers[name] = " ".join(text.split())  # in one line, as a header must be
    return headers


def _rate(given: Given, remarks: list[str]) -> Rate | None:
    found = go_yaml.members(given, "interval", "burst")
    interval = go_yaml.of(found, "interval", go_yaml.nanoseconds, 0)
    burst = go_yaml.of(found, "burst", go_yaml.integer, 0)
    if interval <= 0:
        return None
    if burst <= 0:
        remarks.append(f"{given.place}: {given.key} has a burst of {burst}: nobody is answered")
    return Rate(interval / 10**9, burst)
