"""The other side of a TLS connection, as it is when the handshake is done."""

from __future__ import annotations

import ipaddress
import ssl
from time import time
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from collections.abc import Callable


class Peer(ssl.SSLObject):
    """A connection whose handshake can fail for more than OpenSSL's reasons.

    Attributes:
        allowed: whether the certificate that the client showed will do; there may be none.
        failed: called when a handshake fails, before anybody else knows.
    """

    allowed: Callable[[Any], bool] = staticmethod(lambda _: True)
    failed: Callable[[ssl.SSLError], None] = staticmethod(lambda _: None)

    def do_handshake(self) -> None:
        """Go on with the handshake.

        Raises:
            ssl.SSLError: it failed, or the client is not one that is let in.
        """
        try:
            super().do_handshake()
            certificate = self.getpeercert()
            # Of a session that goes on (TLS 1.2 has no way to forbid it) nothing was verified.
            if self.session_reused and over(certificate):
                raise ssl.SSLCertVerificationError("the client's certificate has expired")
            if not self.allowed(certificate):
                raise ssl.SSLCertVerificationError("the client has none of the allowed names")
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as err:
            self.failed(err)
            raise


def over(certificate: Any) -> bool:
    """Return whether a certificate has expired; nothing has not."""
    return bool(certificate) and ssl.cert_time_to_seconds(certificate["notAfter"]) <= time()


def names(certificate: Any) -> frozenset[str]:
    """Return the names of a client in its certificate, written as Go writes them.

    Args:
        certificate: as of ``ssl.SSLObject.getpeercert``; nothing where there is none.
    """
    return frozenset(
        _address(value) if kind == "IP Address" else value
        for kind, value in (certificate or {}).get("subjectAltName", ())
        if kind in ("DNS", "email", "IP Address", "URI")
    )


def _address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:  # one of a length that there is not
        return ""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
