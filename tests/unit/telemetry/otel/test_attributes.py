"""Attributes that are encoded once: the same bytes, and no others' bytes."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from opentelemetry.exporter.otlp.proto.common._internal import _encode_attributes as theirs

from qmp_exporter.telemetry.otel.attributes import ENCODERS, MOST, encode_once, once


def test_the_same_attributes_are_encoded_once() -> None:
    """Equal ones are not the same; those that are no plain dictionary are left alone."""
    calls: list[Any] = []

    def encode(attributes: Any) -> list[Any]:
        calls.append(attributes)
        return theirs(attributes)

    encoded = once(encode)
    one, equal = {"a": "x", "b": 2}, {"a": "x", "b": 2}
    assert encoded(one) is encoded(one)
    assert encoded(one) == encoded(equal) == theirs(one)
    assert calls == [one, equal]
    assert encoded(None) == encoded(None) == []
    assert len(calls) == 4


def test_no_memory_is_mistaken_for_what_was_there_before() -> None:
    """What is known is kept, so that its identity is nobody else's; and that has a bound."""
    encoded = once(theirs)
    for number in range(3 * MOST):
        (pair,) = encoded({"n": number})
        assert pair.value.int_value == number
    (known,) = (
        cell.cell_contents
        for cell in encoded.__closure__ or ()  # type: ignore[attr-defined]
        if isinstance(cell.cell_contents, dict)
    )
    assert 0 < len(known) <= MOST


def test_log_records_and_spans_share_it() -> None:
    """However often it is asked for."""
    encode_once()
    encode_once()
    first, second = (import_module(name)._encode_attributes for name in ENCODERS)
    assert first is second
    attributes = {"a": True}
    assert first(attributes) is second(attributes)
    assert first(attributes) == theirs(attributes)
