"""From what the web configuration file says of TLS to a context that speaks it."""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import warnings
from typing import TYPE_CHECKING, Final

from qmp_exporter.config.file import kept
from qmp_exporter.config.web_tls import CIPHERS, VERSIONS
from qmp_exporter.errors import ConfigError

from .peer import Peer


if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmp_exporter.config.web_tls import Pem, Tls


MOST_BYTES: Final = 1024 * 1024
"""Size of a file with certificates or a key."""

_VERSIONS: Final = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_LEVEL: Final = "@SECLEVEL=0"
_VERIFY: Final = {
    "none": ssl.CERT_NONE,
    "if-given": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
_CERTIFICATE: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----", re.DOTALL
)


def context(tls: Tls) -> ssl.SSLContext:
    """Return a context for the server's side, with the certificates as they are now.

    Raises:
        ConfigError: a file cannot be read, or OpenSSL does not take what it says.
    """
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.sslobject_class = Peer
    # A session that goes on is not verified again: certificates expire, and files change.
    found.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    found.num_tickets = 0
    found.set_alpn_protocols(["http/1.1"])
    _versions(found, tls)
    _load(found, tls.cert, tls.key)
    if tls.client_auth != "none":
        _trust(found, tls.client_ca)
    found.verify_mode = _VERIFY[tls.client_auth]
    return found


def _versions(found: ssl.SSLContext, tls: Tls) -> None:
    with warnings.catch_warnings(action="ignore"):  # of old versions, which somebody asked for
        found.minimum_version = _VERSIONS[tls.min_version]
        found.maximum_version = _VERSIONS[tls.max_version]
    try:
        if tls.ciphers:
            found.set_ciphers(":".join(tls.ciphers))
        elif tls.ciphers is not None:  # those of TLS 1.3 alone
            found.minimum_version = ssl.TLSVersion.TLSv1_3
    except (ssl.SSLError, ValueError) as err:
        raise ConfigError(f"{tls.cert.where}: OpenSSL cannot: {err}") from None
    try:
        if tls.curve:
            found.set_ecdh_curve(tls.curve)
    except (ssl.SSLError, ValueError):
        raise ConfigError(
            f"{tls.cert.where}: found the curve {tls.curve}, which this Python cannot set;"
            " expected another one, or none"
        ) from None
    if VERSIONS.index(tls.min_version) < VERSIONS.index("TLS12"):
        # Before TLS 1.2 the handshake is signed with SHA-1, which OpenSSL's level 1 forbids.
        found.set_ciphers(":".join((*(tls.ciphers or filter(None, CIPHERS.values())), _LEVEL)))


def _load(found: ssl.SSLContext, cert: Pem, key: Pem) -> None:
    def refuse() -> str:
        raise ConfigError(f"{key.where}: found a key with a password; expected one without")

    with _file(read(cert)) as cert_path, _file(read(key)) as key_path:
        try:
            found.load_cert_chain(cert_path, key_path, refuse)
        except ssl.SSLError as err:
            where = key if "KEY" in (err.reason or "") else cert
            said = (err.reason or "no certificate in PEM").replace("_", " ").lower()
            raise ConfigError(
                f"{where.where}: {said}; expected a certificate in PEM, and the key to it"
            ) from None


def _trust(found: ssl.SSLContext, authorities: Pem | None) -> None:
    # As Go has it, what is in the file is trusted, be it a root or not.
    found.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if authorities is None:
        found.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return
    text = read(authorities).decode("ascii", "replace")
    for block in _CERTIFICATE.findall(text):
        with contextlib.suppress(ssl.SSLError, ValueError):  # what is none is passed over, as in Go
            found.load_verify_locations(cadata=ssl.PEM_cert_to_DER_cert(block))


def read(pem: Pem) -> bytes:
    """Return the text of certificates or a key.

    Raises:
        ConfigError: the file cannot be read, or is too long.
    """
    if not pem.path:
        return pem.text.encode()
    try:
        with open(pem.path, "rb", opener=kept) as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as err:
        raise ConfigError(f"{pem.where}: {pem.path!r}: {err.strerror}; expected a file") from None
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{pem.where}: {pem.path!r}: found more than {MOST_BYTES} bytes")
    return content


@contextlib.contextmanager
def _file(content: bytes) -> Iterator[str]:
    """Make a file in memory, which is what OpenSSL reads a key from; yield its path."""
    number = os.memfd_create("qmp-exporter")
    with open(number, "wb", buffering=0) as file:  # noqa: PTH123 - one that is open
        file.write(content)
        yield f"/proc/self/fd/{number}"
