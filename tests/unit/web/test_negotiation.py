"""Accept-Encoding, as RFC 9110 has it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmp_exporter.web.negotiation import accepts_gzip


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (None, False),
        ("", False),
        (",", False),
        ("gzip", True),
        ("GZip", True),
        ("x-gzip", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=0.001", True),
        ("gzip ; Q=0.5", True),
        ("gzip;q=1.001", False),
        ("gzip;q=-1", False),
        ("gzip;q=nan", False),
        ("gzip;q=", False),
        ("gzip;q=0.5;x=1", False),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip, *;q=0", True),
        ("identity", False),
        ("identity;q=0", False),
        ("identity, gzip;q=0.5", False),
        ("identity;q=0.5, gzip;q=0.5", True),
        ("identity;q=0.5, gzip", True),
        ("br, zstd", False),
        ("gzipped", False),
        ("not-gzip", False),
    ],
)
def test_gzip_is_sent_only_where_it_is_wanted(header: str | None, accepted: bool) -> None:  # noqa: FBT001
    """Weights, wildcards and no-coding are honoured; what is malformed counts as not said."""
    assert accepts_gzip(header) is accepted


@given(st.text(alphabet=st.sampled_from("gzip;q=01.,*x- \t") | st.characters()))
def test_no_header_is_an_error(header: str) -> None:
    """Whatever a client sends, there is an answer."""
    assert accepts_gzip(header) in {True, False}
