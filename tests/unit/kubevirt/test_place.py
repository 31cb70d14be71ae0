"""Where the sockets of a hook are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qmp_exporter.errors import ConfigError
from qmp_exporter.kubevirt.place import DIRECTORY, NAME, place


if TYPE_CHECKING:
    from pathlib import Path


def test_up_to_kubevirt_1_5_both_see_one_directory(tmp_path: Path) -> None:
    """QEMU's path is the exporter's."""
    found = place(f"{tmp_path}", "x", "")
    assert found.hook == f"{tmp_path}/x.sock"
    assert found.monitor == found.monitor_of_qemu == f"{tmp_path}/x.qmp"


def test_from_kubevirt_1_6_on_a_sidecar_has_a_subdirectory(tmp_path: Path) -> None:
    """Which QEMU's container sees by the sidecar's name."""
    found = place(f"{tmp_path}", "x", "hook-sidecar-12")
    assert found.hook == f"{tmp_path}/x.sock"
    assert found.monitor == f"{tmp_path}/x.qmp"
    assert found.monitor_of_qemu == f"{tmp_path}/hook-sidecar-12/x.qmp"


@pytest.mark.parametrize(
    ("directory", "name", "container", "says"),
    [
        ("hooks", "x", "", "--hook.socket-dir: found 'hooks'; expected an absolute path"),
        ("", "x", "", "--hook.socket-dir: found ''"),
        ("/a\nb", "x", "", "--hook.socket-dir"),
        ("/nowhere", "x", "", "--hook.socket-dir: found no directory /nowhere"),
        ("/dev/null", "x", "", "--hook.socket-dir: found no directory /dev/null"),
        ("/" + "d" * 103, "x", "", "--hook.socket-dir: found a path of 111 bytes"),
        ("/" + "d" * 90, "x", "hook-sidecar-0", "--hook.socket-dir: found a path of 112 bytes"),
        ("/tmp", "", "", "--hook.name: found ''; expected letters, digits, - and _"),  # noqa: S108
        ("/tmp", "../x", "", "--hook.name"),  # noqa: S108
        ("/tmp", "x" * 64, "", "--hook.name"),  # noqa: S108
        ("/tmp", "x", "../y", "CONTAINER_NAME: found '../y'"),  # noqa: S108
    ],
)
def test_what_is_no_place_is_refused(directory: str, name: str, container: str, says: str) -> None:
    """With one line that names the flag, what was found and what was expected."""
    with pytest.raises(ConfigError) as caught:
        place(directory, name, container)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


def test_what_is_taken_by_default_fits() -> None:
    """The path that QEMU is given is shorter than a socket's may be, with any number of hooks."""
    assert len(f"{DIRECTORY}/hook-sidecar-999/{NAME}.qmp") < 107
