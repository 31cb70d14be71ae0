"""Where steps go: each sink takes what happened to a VM and knows nothing of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from qmp_exporter.model.vm import VM


if TYPE_CHECKING:
    from qmp_exporter.model.inputs import Input
    from qmp_exporter.model.vm import Step


NOBODY: Final = VM()
"""A VM of which nothing is known."""


class Sink(Protocol):
    """What the application hands every step to."""

    @property
    def name(self) -> str:
        """What it is called in metrics and the log."""

    def add(self, vm: str, state: VM = NOBODY) -> None:
        """Take in a VM of that name, and what is known of it."""

    def take(self, vm: str, given: Input, before: VM, step: Step) -> None:
        """Take what an input made of a VM."""

    def rename(self, old: str, new: str) -> None:
        """Go on with a VM under another name, joining what that name had before."""

    def forget(self, vm: str) -> None:
        """Drop what is kept of a VM."""
