"""What holds in every test: no VM is sent anything that is not on the list."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import pytest

from fake_qmp import FakeMonitor
from recorder import strangers


if TYPE_CHECKING:
    from collections.abc import Iterator


STOCK_CLIENTS: Final = frozenset({"tests/unit/test_fake_qmp.py"})
"""Files whose tests talk to a FakeMonitor themselves; single tests have a marker for that."""

_made: list[FakeMonitor] = []
_construct = FakeMonitor.__init__


@wraps(_construct)
def _kept(self: FakeMonitor, *args: Any, **kwargs: Any) -> None:
    _construct(self, *args, **kwargs)
    _made.append(self)


FakeMonitor.__init__ = _kept  # type: ignore[method-assign]


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the marker."""
    config.addinivalue_line(
        "markers", "stock_client: the test itself, not the exporter, is the client of its monitors"
    )


@pytest.fixture(autouse=True)
def held_to_the_list(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which the exporter sends to a FakeMonitor what is not on the list."""
    before = len(_made)
    yield
    if request.node.get_closest_marker("stock_client") or request.node.location[0] in STOCK_CLIENTS:
        del _made[before:]
    for monitor in _made[before:]:
        assert strangers(bytes(monitor.received)) == []


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run for what came after its test, or to a monitor of several tests."""
    if any(strangers(bytes(monitor.received)) for monitor in _made):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was held to the list, and what was not on it."""
    size = sum(len(monitor.received) for monitor in _made)
    found = [one for monitor in _made for one in strangers(bytes(monitor.received))]
    if size:
        terminalreporter.section("bytes sent to monitors")
        terminalreporter.line(f"{size} to {len(_made)}, not on the list: {found or 'none'}")
