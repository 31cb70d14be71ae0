"""Which format a scraper gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from qmp_exporter.telemetry.exposition import OPENMETRICS, TEXT, wants_openmetrics


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text",
        "application/openmetrics-text;version=1.0.0",
        "Application/OpenMetrics-Text ; Version=1.0.0 ; q=0.5",
        "text/plain;q=0.9, application/openmetrics-text; version=1.0.0; charset=utf-8; q=0.1",
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.2",
        "application/openmetrics-text;version=99,application/openmetrics-text;version=1.0.0",
        OPENMETRICS,
    ],
)
def test_openmetrics_is_for_those_who_ask_for_it(accept: str) -> None:
    """In version 1.0.0, or in none in particular."""
    assert wants_openmetrics(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        TEXT,
        "text/plain;version=1.0.0",
        "application/openmetrics-text;version=0.0.1",
        "application/openmetrics-text;version=2.0.0",
        "application/openmetrics-text;version=nonsense",
        "application/openmetrics-text;version=",
        "application/openmetrics-text;q=0",
        "application/openmetrics-text;q=0.000",
        "application/openmetrics",
        "xapplication/openmetrics-text",
    ],
)
def test_all_others_get_text(accept: str) -> None:
    """Also who asks for a version that is not spoken here."""
    assert not wants_openmetrics(accept)


@given(st.text(st.characters(codec="latin-1")))
def test_any_header_is_one_or_the_other(accept: str) -> None:
    """Nothing is too strange."""
    assert wants_openmetrics(accept) in (True, False)
    assert wants_openmetrics(f"{accept},{OPENMETRICS}") is True


def test_the_types_are_those_that_prometheus_knows() -> None:
    """As prometheus-client names them."""
    assert TEXT == CONTENT_TYPE_PLAIN_0_0_4
