"""A monitor to watch, and what a VM is called that was never reached."""

from __future__ import annotations

import pytest

from qmp_exporter.model.target import Target


@pytest.mark.parametrize(
    ("address", "stem"),
    [
        ("/run/qemu/web.sock", "web"),
        ("/run/qemu/web.example.qmp", "web.example"),
        ("/run/qemu/web", "web"),
        ("web.sock", "web"),
        ("/run/qemu/.sock", ".sock"),
        ("/run/qemu/", "qemu"),
        ("/", "/"),
    ],
)
def test_the_stem_of_a_socket(address: str, stem: str) -> None:
    """The last part of the path without its suffix; never nothing."""
    assert Target(address).stem == stem


def test_the_stem_of_a_port() -> None:
    """An address of a network is shown as it is."""
    assert Target("192.0.2.1:4444", tcp=True).stem == "192.0.2.1:4444"
