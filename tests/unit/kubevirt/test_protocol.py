"""The messages, against a real implementation of protocol buffers."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from qmp_exporter.kubevirt.protocol import domain_of, info_result, on_define_domain_result


# Fields as pkg/hooks/info/api_info.proto and pkg/hooks/v1alpha3/api_v1alpha3.proto of KubeVirt
# v1.7.0 have them: name, number, type, label, type of a message.
MESSAGES = {
    "HookPoint": [("name", 1, Field.TYPE_STRING, 1, ""), ("priority", 2, Field.TYPE_INT32, 1, "")],
    "InfoResult": [
        ("name", 1, Field.TYPE_STRING, 1, ""),
        ("hookPoints", 3, Field.TYPE_MESSAGE, 3, ".t.HookPoint"),
        ("versions", 4, Field.TYPE_STRING, 3, ""),
    ],
    "Params": [("domainXML", 1, Field.TYPE_BYTES, 1, ""), ("vmi", 2, Field.TYPE_BYTES, 1, "")],
    "Result": [("domainXML", 1, Field.TYPE_BYTES, 1, "")],
    "Later": [
        ("vmi", 2, Field.TYPE_BYTES, 1, ""),
        ("a", 3, Field.TYPE_INT64, 1, ""),
        ("b", 400, Field.TYPE_FIXED64, 1, ""),
        ("c", 5, Field.TYPE_FLOAT, 1, ""),
        ("domainXML", 1, Field.TYPE_BYTES, 1, ""),
    ],
}


def classes() -> dict[str, type]:
    """The messages as classes."""
    file = FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    for message, fields in MESSAGES.items():
        made = file.message_type.add(name=message)
        for name, number, kind, label, type_name in fields:
            made.field.add(name=name, number=number, type=kind, label=label)
            if type_name:
                made.field[-1].type_name = type_name
    pool = DescriptorPool()
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"t.{name}")) for name in MESSAGES}


FOUND = classes()


@given(st.text(), st.dictionaries(st.text(), st.integers(-(2**31), 2**31 - 1), max_size=4))
def test_info_is_what_protocol_buffers_read(name: str, points: dict[str, int]) -> None:
    """Name, hook points with priorities also below 0, and versions, the newest first."""
    found = FOUND["InfoResult"].FromString(info_result(name, points))
    assert found.name == name
    assert {point.name: point.priority for point in found.hookPoints} == points
    assert list(found.versions) == ["v1alpha3", "v1alpha2", "v1alpha1"]


@given(st.binary(max_size=300), st.binary(max_size=300), st.integers(-(2**63), 2**63 - 1))
def test_a_domain_is_read_and_written(xml: bytes, vmi: bytes, number: int) -> None:
    """Also from a message with fields that are not known yet."""
    assert domain_of(FOUND["Params"](domainXML=xml, vmi=vmi).SerializeToString()) == xml
    later = FOUND["Later"](domainXML=xml, vmi=vmi, a=number, b=abs(number), c=0.5)
    assert domain_of(later.SerializeToString()) == xml
    assert FOUND["Result"].FromString(on_define_domain_result(xml)).domainXML == xml


def test_a_large_domain_is_read_and_written() -> None:
    """Lengths take as many bytes as they need."""
    for size in (0, 127, 128, 16_383, 16_384, 10_000_000):
        xml = b"x" * size
        assert domain_of(FOUND["Params"](domainXML=xml, vmi=b"{}").SerializeToString()) == xml
        assert FOUND["Result"].FromString(on_define_domain_result(xml)).domainXML == xml


@given(st.binary(max_size=60))
def test_whatever_comes_is_a_domain_or_a_clear_error(found: bytes) -> None:
    """No other error, and never more than was there."""
    try:
        assert domain_of(found) in found
    except ValueError as err:
        assert str(err).startswith("found ")  # noqa: PT017 - either may be


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (b"\x0a\x05abc", "the end within a field"),
        (b"\x0a", "the end within a number"),
        (b"\x0a\xff\xff", "the end within a number"),
        (b"\x08" + b"\xff" * 11, "more than 64 bits"),
        (b"\x0b", "the wire type 3"),
        (b"\x09\0\0", "the end within a field"),
    ],
)
def test_a_message_that_is_cut_is_refused(found: bytes, says: str) -> None:
    """Instead of a domain that is not all there."""
    with pytest.raises(ValueError, match=says):
        domain_of(found)


def test_a_priority_has_32_bits() -> None:
    """As the message says."""
    with pytest.raises(ValueError, match="32 bits"):
        info_result("x", {"y": 2**31})
