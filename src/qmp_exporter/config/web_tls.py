"""What the web configuration file says of TLS, as prometheus/exporter-toolkit 0.20 has it.

Source: its web/tls_config.go. Whether certificates and keys are good is asked when they are loaded,
by ``web.tls``.
"""

from __future__ import annotations

import os
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


def read_tls(given: Given, folder: str, remarks: list[str]) -> Tls | None:
    """Return what the file says of TLS; None where it says nothing that turns it on.

    Args:
        given: the section.
        folder: of the file.
        remarks: gets what may not be meant as it is written.

    Raises:
        ConfigError: it is wrong.
    """
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
