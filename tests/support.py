"""What tests of every kind share."""

from __future__ import annotations

import os
import shutil
import threading
from typing import NoReturn

import pytest


def threads_end(name: str, patience: float) -> None:
    """Wait until no thread of that name is left, and fail if one is after so many seconds.

    A thread that writes to a file which a test closes may write to whatever has its number next.
    """
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(patience)
            assert not thread.is_alive()


def require_tool(name: str) -> str:
    """Return the path of a program; without it the test is skipped, and fails where CI is true."""
    path = shutil.which(name)
    return path if path is not None else missing(f"{name} is not installed")


def missing(message: str) -> NoReturn:
    """Skip the test for want of something, and fail it where CI is true."""
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
