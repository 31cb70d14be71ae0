"""The web configuration file: TLS, passwords, headers and a rate, as all exporters have them.

What it may say, and what that means, is that of prometheus/exporter-toolkit 0.20
(docs/web-configuration.md, web/tls_config.go, web/handler.go); docs/web-config.md says where we
differ. Whether certificates and keys are good is asked when they are loaded, by ``web.tls``.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from qmp_exporter.config import go_yaml
from qmp_exporter.errors import ConfigError


if TYPE_CHECKING:
    from qmp_exporter.config.given import Given


ClientAuth: TypeAlias = Literal["none", "if-given", "required"]

VERSIONS: Final = ("TLS10", "TLS11", "TLS12", "TLS13")

CIPHERS: Final = {
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
"""Go's names (crypto/tls.CipherSuites) to OpenSSL's; those of TLS 1.3 are always on, as in Go."""

CURVES: Final = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}

HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
    "Content-Security-Policy": (),
}
"""The headers that can be set, with the values that they can have, if not any."""

_POLICIES: Final[dict[str, ClientAuth]] = {
    "": "none",
    "NoClientCert": "none",
    "VerifyClientCertIfGiven": "if-given",
    "RequireAndVerifyClientCert": "required",
}
_UNVERIFIED: Final = ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")
_ENABLING: Final = (
    "cert",
    "cert_file",
    "key",
    "key_file",
    "client_ca",
    "client_ca_file",
    "client_auth_type",
)
_TLS: Final = (
    *_ENABLING,
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
)
_COST: Final = range(4, 32)
_COST_WRITTEN: Final = re.compile(rb"\+?[0-9]{1,2}")
_SHORTEST: Final = 59  # bytes of a bcrypt hash: $2$, a cost, a salt of 22 and a hash of 31


class Pem(msgspec.Struct, frozen=True):
    """Certificates or a key.

    Attributes:
        where: the place in the file that says so, and the key.
        path: of a file; empty, where the text is in this one.
        text: in this file.
    """

    where: str
    path: str = ""
    text: str = ""

    def __repr__(self) -> str:
        return f"Pem({self.where!r}, {self.path!r})"


class Tls(msgspec.Struct, frozen=True):
    """How TLS is spoken.

    Attributes:
        cert: the certificate of the server, followed by those up to its root.
        key: its key.
        client_auth: whether a client needs a certificate.
        client_ca: who signs these; None for those whom the system trusts.
        allowed_sans: names of which a client's certificate must have one; None for any.
        min_version: one of ``VERSIONS``.
        max_version: one of ``VERSIONS``.
        ciphers: OpenSSL's names, for TLS up to 1.2; None for the default ones.
        curve: OpenSSL's name; empty for the default ones.
    """

    cert: Pem
    key: Pem
    client_auth: ClientAuth = "none"
    client_ca: Pem | None = None
    allowed_sans: frozenset[str] | None = None
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    ciphers: tuple[str, ...] | None = None
    curve: str = ""


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
        go_yaml.of(top, "tls_server_config", lambda value: _tls(value, folder, remarks)),
        go_yaml.of(top, "basic_auth_users", _users, {}),
        go_yaml.of(top, "http_server_config", _headers, {}),
        go_yaml.of(top, "rate_limit", lambda value: _rate(value, remarks)),
        tuple(remarks),
    )


def _tls(given: Given, folder: str, remarks: list[str]) -> Tls | None:
    found = go_yaml.members(given, *_TLS)
    version = ("TLS12", "TLS13")
    low, high = (
        _one_of(found.get(f"{name}_version"), VERSIONS, "a TLS version") or default
        for name, default in zip(("min", "max"), version, strict=True)
    )
    ciphers = _several(found, "cipher_suites", CIPHERS, "a cipher suite")
    curves = _several(found, "curve_preferences", CURVES, "a curve")
    sans = go_yaml.of(found, "client_allowed_sans", go_yaml.texts)
    go_yaml.of(found, "prefer_server_cipher_suites", go_yaml.boolean)
    said = {name for name in _ENABLING if name in found and go_yaml.text(found[name])}
    if not said:
        if found:
            remarks.append(f"{given.place}: {given.key} has no cert_file: there is no TLS")
        return None
    auth = _policy(found.get("client_auth_type"))
    ca = _pem(found, "client_ca", folder)
    if ca and auth == "none":
        raise ConfigError(
            f"{ca.where}: found it without a client_auth_type that verifies;"
            " expected RequireAndVerifyClientCert or VerifyClientCertIfGiven with it"
        )
    if auth != "none" and not ca:
        remarks.append(f"{given.place}: {given.key} has no client_ca_file: the system's CAs count")
    if sans is not None and auth == "none":
        remarks.append(f"{given.place}: client_allowed_sans has no effect without certificates")
    if VERSIONS.index(low) > VERSIONS.index(high):
        remarks.append(f"{given.place}: min_version is above max_version: nobody can connect")
    if len(set(curves or ())) > 1:
        raise found["curve_preferences"].wrong(
            "one curve or none, as Python cannot set several", f"{len(set(curves or ()))} curves"
        )
    return Tls(
        _pem_of(given, found, "cert", folder),
        _pem_of(given, found, "key", folder),
        auth,
        ca,
        None if sans is None else frozenset(sans),
        low,
        high,
        None if not ciphers else tuple(CIPHERS[name] for name in ciphers if CIPHERS.get(name)),
        CURVES[curves[0]] if curves else "",
    )


def _pem_of(given: Given, found: dict[str, Given], name: str, folder: str) -> Pem:
    pem = _pem(found, name, folder)
    if pem is None:
        raise given.wrong(f"{name}_file or {name}", f"neither of {name}_file and {name}")
    return pem


def _pem(found: dict[str, Given], name: str, folder: str) -> Pem | None:
    path = go_yaml.of(found, f"{name}_file", go_yaml.text, "")
    text = go_yaml.of(found, name, go_yaml.text, "")
    if path:
        given = found[f"{name}_file"]
        return Pem(f"{given.place}: {given.key}", os.path.join(folder, path))  # noqa: PTH118
    if text:
        return Pem(f"{found[name].place}: {found[name].key}", text=text)
    return None


def _policy(given: Given | None) -> ClientAuth:
    name = _one_of(given, (*_POLICIES, *_UNVERIFIED), "a policy")
    if given is not None and name in _UNVERIFIED:
        raise given.wrong(
            "RequireAndVerifyClientCert, VerifyClientCertIfGiven or NoClientCert, as Python cannot"
            " ask for a certificate and not verify it"
        )
    return _POLICIES[name]


def _one_of(given: Given | None, known: Any, what: str) -> str:
    # Where a text is one of few, not all that is nothing to YAML is nothing to yaml.v2.
    if given is None or (given.form == "nothing" and given.text in ("", "~", "null")):
        return ""
    name = go_yaml.text(given)
    if name not in known or given.form == "nothing":
        raise given.wrong(f"{what}: one of {', '.join(filter(None, known))}")
    return name


def _several(found: dict[str, Given], key: str, known: Any, what: str) -> list[str] | None:
    if key not in found or go_yaml.texts(found[key]) is None:
        return None
    return [_one_of(item, known, what) for item in found[key].items]


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
