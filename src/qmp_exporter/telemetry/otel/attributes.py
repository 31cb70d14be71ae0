"""Lets the SDK's exporters encode the attributes of an event once.

They are on a span event and on a log record, and those of a storm are the same again and again; to
encode them takes most of the time that a batch takes. Private members of opentelemetry 1.45 that
this relies on: ``_encode_attributes`` of the encoders of log records and of spans. A test fails
when one is missing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final


if TYPE_CHECKING:
    from collections.abc import Callable


MOST: Final = 512
"""Sets of attributes that are kept encoded."""

ENCODERS: Final = tuple(
    f"opentelemetry.exporter.otlp.proto.common._internal.{name}"
    for name in ("_log_encoder", "trace_encoder")
)


def once(encode: Callable[[Any], list[Any]]) -> Callable[[Any], list[Any]]:
    """Return a function that encodes attributes as ``encode`` does, those it knows not again.

    It knows them by their identity: they are not to be changed after they were encoded.
    """
    known: dict[int, tuple[Any, list[Any]]] = {}

    def found(attributes: Any) -> list[Any]:
        if type(attributes) is not dict:  # those of a span, which has them to itself
            return encode(attributes)
        kept = known.get(id(attributes))
        if kept is not None and kept[0] is attributes:
            return kept[1]
        encoded = encode(attributes)
        if len(known) >= MOST:
            known.clear()
        known[id(attributes)] = attributes, encoded
        return encoded

    found.once = True  # type: ignore[attr-defined]
    return found


def encode_once() -> None:
    """Let log records and span events share what they encode; idempotent."""
    modules = [import_module(name) for name in ENCODERS]
    if not hasattr(modules[0]._encode_attributes, "once"):  # noqa: SLF001 - see above
        shared = once(modules[0]._encode_attributes)  # noqa: SLF001 - see above
        for module in modules:
            module._encode_attributes = shared  # type: ignore[attr-defined] # noqa: SLF001 - as above
