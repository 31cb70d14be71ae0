"""Certificates and keys for tests, good ones and others, made when they are needed."""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import (
    CertificateBuilder,
    Name,
    NameAttribute,
    random_serial_number,
)
from cryptography.x509.oid import NameOID


if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
TRADITIONAL = serialization.PrivateFormat.TraditionalOpenSSL
PLAIN = serialization.NoEncryption()
LOCKED = serialization.BestAvailableEncryption(b"password")
INLINE = re.compile(rb"^( *)@@([a-z.]+)@@$", re.MULTILINE)


def write(folder: Path, name: str, made: trustme.LeafCert) -> None:
    """Write a certificate and its key as ``NAME.pem`` and ``NAME.key``."""
    chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
    (folder / f"{name}.pem").write_bytes(chain)
    (folder / f"{name}.key").write_bytes(made.private_key_pem.bytes())


def expired(ca: trustme.CA, *names: str) -> trustme.LeafCert:
    """A certificate that ended yesterday."""
    now = datetime.now(UTC)
    return ca.issue_cert(
        *names, not_before=now - timedelta(days=2), not_after=now - timedelta(days=1)
    )


def of_key(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> bytes:
    """A certificate that a key signed for itself."""
    now = datetime.now(UTC)
    name = Name([NameAttribute(NameOID.COMMON_NAME, "self")])
    made = (
        CertificateBuilder(name, name)
        .public_key(key.public_key())
        .serial_number(random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256())
    )
    return made.public_bytes(PEM)


def key_bytes(
    key: PrivateKeyTypes,
    form: serialization.PrivateFormat = PKCS8,
    lock: serialization.KeySerializationEncryption = PLAIN,
) -> bytes:
    """A key as PEM."""
    return key.private_bytes(PEM, form, lock)


def write_all(folder: Path) -> None:
    """Write every file that the corpus of web configuration files names."""
    ca = trustme.CA()
    server, client = ca.issue_cert("localhost", "127.0.0.1"), ca.issue_cert("client.example")
    write(folder, "server", server)
    write(folder, "client", client)
    write(folder, "expired", expired(ca, "localhost"))
    pem, key = (folder / "server.pem").read_bytes(), (folder / "server.key").read_bytes()
    ca_pem = ca.cert_pem.bytes()
    loaded = serialization.load_pem_private_key(key, None)
    one, two = rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is to be refused
    half = b"".join(pem.splitlines(keepends=True)[:4]) + b"-----END CERTIFICATE-----\n"
    files = {
        "ca.pem": ca_pem,
        "twice.pem": ca_pem * 2,
        "both.pem": pem + key,
        "key-first.pem": key + pem,
        "commented.pem": b"subject=localhost\nissuer=us\n" + pem,
        "wrong-order.pem": ca_pem + pem,
        "second-broken.pem": pem + half,
        "broken.pem": half,
        "server.der": first_der(pem),
        "encrypted.key": key_bytes(loaded, lock=LOCKED),
        "encrypted-old.key": key_bytes(loaded, TRADITIONAL, LOCKED),
        "rsa.pem": of_key(one),
        "rsa.key": key_bytes(one),
        "rsa-old.key": key_bytes(one, TRADITIONAL),
        "ed.pem": of_key(two),
        "ed.key": key_bytes(two),
        "weak.pem": of_key(weak),
        "weak.key": key_bytes(weak),
        "empty": b"",
        "junk": b"junk\n",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "folder").mkdir()


def first_der(pem: bytes) -> bytes:
    """The first certificate of a file, as DER."""
    end = pem.index(b"-----END") + len("-----END CERTIFICATE-----\n")
    return ssl.PEM_cert_to_DER_cert(pem[:end].decode())


def filled(text: bytes, folder: Path) -> bytes:
    """Put the files in place of ``@@NAME@@``, set in as it is."""

    def put(found: re.Match[bytes]) -> bytes:
        lines = (folder / found[2].decode()).read_bytes().splitlines(keepends=True)
        return b"".join(found[1] + line for line in lines).rstrip()

    return INLINE.sub(put, text)
