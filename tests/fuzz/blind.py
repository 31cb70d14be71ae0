"""`scripts/fuzz` where there is no atheris: what hypothesis draws, for so many seconds."""

from __future__ import annotations

import sys
import time

from hypothesis import HealthCheck, given, settings

from fuzz.harness import check
from fuzz.test_stream import places, sessions


def main(seconds: float) -> None:
    """Try streams until the time is over; the first that breaks a promise is raised."""
    end = time.monotonic() + seconds
    tried = 0

    @settings(deadline=None, max_examples=500, suppress_health_check=list(HealthCheck))
    @given(sessions(), places)
    def some(stream: bytes, cuts: list[int]) -> None:
        nonlocal tried
        tried += 1
        check(stream, cuts)

    while time.monotonic() < end:
        some()
    print(f"{tried} streams broke nothing")  # noqa: T201 - it is a program


if __name__ == "__main__":
    main(float(sys.argv[1]))
