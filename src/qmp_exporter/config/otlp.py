"""What the environment variables of OTLP's exporter say of one signal.

Source: open-telemetry/opentelemetry-specification, protocol/exporter.md. A variable of the signal
comes before the general one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast
from urllib.parse import urlsplit

import msgspec

from qmp_exporter.errors import ConfigError


if TYPE_CHECKING:
    from qmp_exporter.config.variables import Variables


Protocol: TypeAlias = Literal["http/protobuf", "grpc"]
Compression: TypeAlias = Literal["none", "gzip", "deflate"]

GENERAL: Final = "OTEL_EXPORTER_OTLP_"
GRPC: Final = "opentelemetry-exporter-otlp-proto-grpc"

_FILES: Final = ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
_LAST_PORT: Final = 0xFFFF
_USER: Final = re.compile(r"//[^/?#]*@")
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]]+)(:[0-9]{1,5})?")


class Otlp(msgspec.Struct, frozen=True):
    """Where and how telemetry is sent.

    Attributes:
        protocol: one of ``http/protobuf`` and ``grpc``.
        endpoint: a URL; of gRPC, host and port.
        headers: as pairs, names in lower case; values are secrets.
        timeout: seconds of one export, with what is tried again.
        compression: one of ``none``, ``gzip`` and ``deflate``.
        secure: whether it is TLS.
        certificate: the file of those whom the collector's certificate is to be signed by; empty
            for the usual ones.
        client_certificate: the file of our own certificate; empty for none.
        client_key: the file of its key; empty where that is in the same file.
    """

    protocol: Protocol
    endpoint: str
    headers: tuple[tuple[str, str], ...] = ()
    timeout: float = 10.0
    compression: Compression = "none"
    secure: bool = False
    certificate: str = ""
    client_certificate: str = ""
    client_key: str = ""

    def __repr__(self) -> str:
        return f"Otlp({self.shown!r})"

    @property
    def shown(self) -> str:
        """Where to, without secrets."""
        return without_user(self.endpoint)


def without_user(url: str) -> str:
    """Return a URL without the user and password that it may have, nor its query."""
    return _USER.sub("//", url).partition("?")[0]


def endpoint_set(found: Variables, signal: str) -> bool:
    """Return whether there is an endpoint for a signal."""
    return bool(found.text(*_names("ENDPOINT", signal))[1])


def read_otlp(found: Variables, signal: str) -> Otlp:
    """Return what is said of a signal.

    Args:
        found: the variables.
        signal: ``TRACES``, ``LOGS`` or ``METRICS``.

    Raises:
        ConfigError: a variable is wrong, or says what takes an extra that is not installed.
    """
    names = _names("PROTOCOL", signal)
    protocol = cast("Protocol", found.choice(("http/protobuf", "grpc"), "http/protobuf", *names))
    if protocol == "grpc":
        _require_grpc(found.text(*names)[0])
    endpoint, secure = (_grpc if protocol == "grpc" else _http)(found, signal)
    files = [found.text(*_names(key, signal)) for key in _FILES]
    if secure:
        _check(files, protocol)
    compressions = ("none", "gzip", "deflate")
    return Otlp(
        protocol,
        endpoint,
        found.headers(*_names("HEADERS", signal)),
        found.timeout(10.0, *_names("TIMEOUT", signal)),
        cast("Compression", found.choice(compressions, "none", *_names("COMPRESSION", signal))),
        secure,
        *(path for _, path in files),
    )


def _names(key: str, signal: str) -> tuple[str, str]:
    return f"{GENERAL}{signal}_{key}", f"{GENERAL}{key}"


def _http(found: Variables, signal: str) -> tuple[str, bool]:
    own, general = _names("ENDPOINT", signal)
    name, text = found.text(own, general)
    if not text:
        name, text = general, "http://localhost:4318"
    try:
        parts = urlsplit(text)
    except ValueError:  # of brackets
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not _is_host(parts.netloc.rpartition("@")[2]):
        raise _wrong(name, text, "a URL such as http://localhost:4318")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise _wrong(name, text, "a URL of printable ASCII without spaces")
    path = parts.path or "/"
    if name == general:
        path = f"{path.rstrip('/')}/v1/{signal.lower()}"
    return parts._replace(path=path, fragment="").geturl(), parts.scheme == "https"


def _grpc(found: Variables, signal: str) -> tuple[str, bool]:
    name, text = found.text(*_names("ENDPOINT", signal))
    insecure = found.boolean(*_names("INSECURE", signal))
    scheme, separator, rest = (text or "http://localhost:4317").rpartition("://")
    host = rest.removesuffix("/") if separator else rest
    if scheme not in ("", "http", "https") or not _is_host(host):
        raise _wrong(name, text, "http:// or https:// with a host and a port, or host:port")
    return host, scheme == "https" if separator else not insecure


def _is_host(text: str) -> bool:
    found = _AUTHORITY.fullmatch(text)
    return found is not None and int((found[2] or ":0")[1:]) <= _LAST_PORT


def _wrong(name: str, text: str, expected: str) -> ConfigError:
    return ConfigError(f"{name}: found {without_user(text)!r}; expected {expected}")


def _require_grpc(name: str) -> None:
    # Imported here: it is slow to import, and --version and --help are quick without.
    from importlib.metadata import PackageNotFoundError, distribution  # noqa: PLC0415

    try:
        distribution(GRPC)
    except PackageNotFoundError:
        raise ConfigError(
            f"{name}: found 'grpc', and {GRPC} is not installed; expected http/protobuf, or the"
            " extra grpc: pip install 'qmp-exporter[grpc]'"
        ) from None


def _check(files: list[tuple[str, str]], protocol: Protocol) -> None:
    """Raise ConfigError for a file that is not there, or is no certificate, or no key of it."""
    (ca_name, ca), (name, certificate), (key_name, key) = files
    if key and not certificate:
        raise ConfigError(f"{key_name}: found a key without {name}; expected both")
    if certificate and not key and protocol == "grpc":
        raise ConfigError(f"{name}: found a certificate without {key_name}; expected both")
    if ca:
        _load(ca_name, ca, "", "certificates")
    if certificate:
        _load(name, certificate, key, "a certificate and its key, without a password")


def _load(name: str, path: str, key: str, what: str) -> None:
    # Imported here: most need no TLS.
    import ssl  # noqa: PLC0415

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if name.endswith("CLIENT_CERTIFICATE"):
            context.load_cert_chain(path, key or None, lambda: "")
        else:
            context.load_verify_locations(path)
    except OSError as err:  # also of ssl
        why = err.reason if isinstance(err, ssl.SSLError) else err.strerror
        shown = f"{path} and {key}" if key else path
        raise ConfigError(
            f"{name}: found {shown}: {why or 'which is none'}; expected a PEM file of {what}"
        ) from None
