"""What QEMU said of an event, with what no type keeps, for those who read single events."""

from __future__ import annotations

import json
from typing import Any, Final


_ADDRESS: Final = frozenset({"host", "port", "service"})


def data_of(line: bytes, *, addresses: bool = False) -> dict[str, Any]:
    """Return the ``data`` member of the line of an event, which was decoded before.

    Args:
        line: as QEMU sent it.
        addresses: whether the addresses of clients are kept, which are people's.
    """
    try:
        data = json.loads(line).get("data")
    except (ValueError, RecursionError, AttributeError):  # it was decoded, but not by this decoder
        return {}
    if not isinstance(data, dict):
        return {}
    client = data.get("client")
    if isinstance(client, dict) and not addresses:
        client = {key: value for key, value in client.items() if key not in _ADDRESS}
        data = data | {"client": client}
    return data
