"""The names of a client's certificate, and when it is over."""

from __future__ import annotations

from typing import Any

import pytest

from qmp_exporter.web.peer import names, over


@pytest.mark.parametrize(
    ("kind", "value", "name"),
    [
        ("DNS", "a.example", "a.example"),
        ("DNS", "*.example", "*.example"),
        ("email", "a@b.example", "a@b.example"),
        ("URI", "spiffe://a.example/ns/x", "spiffe://a.example/ns/x"),
        ("IP Address", "10.0.0.1", "10.0.0.1"),
        ("IP Address", "2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("IP Address", "2001:DB8:0:0:0:0:0:1\n", "2001:db8::1"),
        ("IP Address", "0:0:0:0:0:FFFF:A00:1", "10.0.0.1"),
    ],
)
def test_a_name_is_written_as_go_writes_it(kind: str, value: str, name: str) -> None:
    """OpenSSL's way of addresses is another one."""
    assert names({"subjectAltName": ((kind, value),)}) == {name}


@pytest.mark.parametrize(
    "certificate",
    [
        None,
        {},
        {"subject": ((("commonName", "a.example"),),)},
        {"subjectAltName": ()},
        {"subjectAltName": (("DirName", ((("commonName", "a"),),)), ("Registered ID", "1.2"))},
    ],
)
def test_other_names_are_none(certificate: Any) -> None:
    """Nor is the subject, which Go does not look at either."""
    assert names(certificate) == frozenset()


def test_an_address_of_no_length_is_no_name() -> None:
    """OpenSSL shows what it cannot read."""
    assert names({"subjectAltName": (("IP Address", "<invalid>"),)}) == {""}


def test_a_certificate_is_over_after_its_end() -> None:
    """And no certificate never is."""
    assert over({"notAfter": "Jan  1 00:00:00 2020 GMT"})
    assert not over({"notAfter": "Jan  1 00:00:00 2100 GMT"})
    assert not over({})
    assert not over(None)
