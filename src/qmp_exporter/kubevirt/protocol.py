"""The messages between virt-launcher and a hook, as bytes of protocol buffers.

The facts are those of ``kubevirt.io/kubevirt`` v1.7.0: ``pkg/hooks/info/api_info.proto`` and
``pkg/hooks/v1alpha{1,2,3}/api_v1alpha{1,2,3}.proto``, which are the same in v1.3.0, v1.5.0 and
v1.6.0. Two messages with content are sent and one is read, all of texts and one number, so they are
written out here; the encoding is that of https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from typing import Final


INFO: Final = "kubevirt.hooks.info.Info"
"""The service that says what a hook wants to be called for."""

CALLBACKS: Final = "kubevirt.hooks.{}.Callbacks"
"""The service that is called then, by version."""

VERSIONS: Final = ("v1alpha3", "v1alpha2", "v1alpha1")
"""Versions of it; virt-launcher takes the newest that both know."""

ON_DEFINE_DOMAIN: Final = "OnDefineDomain"
SHUTDOWN: Final = "Shutdown"
"""Of v1alpha3 only."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MOST_BITS: Final = 64
_INT32: Final = range(-(2**31), 2**31)


def info_result(name: str, points: dict[str, int]) -> bytes:
    """Return an InfoResult: name = 1, hookPoints = 3 and versions = 4.

    Args:
        name: of the hook.
        points: from the names of hook points to priorities, each a HookPoint of name = 1 and
            priority = 2. The highest is called first.
    """
    hooks = (
        _text(1, name) + _varint(2 << 3 | _VARINT) + _int32(priority)
        for name, priority in points.items()
    )
    return b"".join(
        (
            _text(1, name),
            *(_bytes(3, hook) for hook in hooks),
            *(_text(4, version) for version in VERSIONS),
        )
    )


def on_define_domain_result(xml: bytes) -> bytes:
    """Return an OnDefineDomainResult: domainXML = 1."""
    return _bytes(1, xml)


def domain_of(params: bytes) -> bytes:
    """Return the domainXML = 1 of OnDefineDomainParams, empty where there is none.

    Raises:
        ValueError: that is no message.
    """
    found = b""
    at = 0
    while at < len(params):
        key, at = _read_varint(params, at)
        number, wire = key >> 3, key & 7
        if wire == _BYTES:
            size, at = _read_varint(params, at)
            value, at = params[at : at + size], at + size
            if number == 1:
                found = value  # of a field that is there again, the last one counts
        elif wire == _VARINT:
            _, at = _read_varint(params, at)
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"found the wire type {wire}; expected 0, 1, 2 or 5")
    if at > len(params):
        raise ValueError("found the end within a field")
    return found


def _text(number: int, text: str) -> bytes:
    return _bytes(number, text.encode())


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _int32(value: int) -> bytes:
    if value not in _INT32:
        raise ValueError(f"found {value}; expected a number of 32 bits")
    return _varint(value % 2**_MOST_BITS)  # a negative one goes as if it had 64 bits


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place, and the place behind it."""
    value = 0
    for shift in range(0, _MOST_BITS, 7):
        if at >= len(data):
            raise ValueError("found the end within a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise ValueError("found a number of more than 64 bits")
