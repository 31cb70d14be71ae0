"""What QEMU said of an event, with what no type keeps, for those who read single events."""

from __future__ import annotations

from typing import Any, Final

import msgspec


class _Line(msgspec.Struct, gc=False):
    data: dict[str, Any] | None = None


_decode: Final = msgspec.json.Decoder(_Line).decode
_ADDRESS: Final = frozenset({"host", "port", "service"})


def data_of(line: bytes, *, addresses: bool = False) -> dict[str, Any]:
    """Return the ``data`` member of the line of an event; empty for one without any.

    Args:
        line: as QEMU sent it.
        addresses: whether the addresses of clients are kept, which are people's.
    """
    try:
        data = _decode(line).data or {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # deep, or no mapping
        return {}
    client = data.get("client")
    if isinstance(client, dict) and not addresses:
        data["client"] = {key: value for key, value in client.items() if key not in _ADDRESS}
    return data
