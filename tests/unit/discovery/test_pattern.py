"""Patterns of socket paths."""

from __future__ import annotations

import pytest

from qmp_exporter.discovery.pattern import Pattern, expression, managed
from qmp_exporter.errors import ConfigError


@pytest.mark.parametrize(
    "path",
    [
        "/var/lib/libvirt/qemu/domain-3-web/monitor.sock",
        "/var/run/qemu-server/100.qmp",
        "/run/qemu-server/100.qmp",
        "/run/incus/web/qemu.monitor",
        "/var/log/lxd/web/qemu.monitor",
    ],
)
def test_the_monitors_of_managers_are_known(path: str) -> None:
    """libvirt's, Proxmox's, Incus's and LXD's own monitors are told from others."""
    assert managed(path)


@pytest.mark.parametrize(
    "path",
    [
        "/run/qemu/web.qmp",
        "/var/lib/libvirt/qemu/domain-3-web/exporter.sock",
        "/run/qemu-server/100.qmp.exporter",
    ],
)
def test_a_monitor_beside_theirs_is_not_taken_for_it(path: str) -> None:
    """A socket of one's own in a manager's folder is free."""
    assert not managed(path)


def test_an_expression_names_the_vm_and_labels_it() -> None:
    """Group ``vm`` is the name, other named groups join the labels given."""
    pattern = Pattern(
        "/run/*/*.qmp",
        expression(r"/run/(?P<tenant>\w+)/(?P<vm>\w+)\.qmp$"),
        labels=(("rack", "a1"),),
    )
    target = pattern.target("/run/acme/web.qmp")
    assert target is not None
    assert (target.name, target.labels) == ("web", (("rack", "a1"), ("tenant", "acme")))
    assert not target.named
    assert pattern.target("/run/acme/web.sock") is None


def test_without_an_expression_the_name_is_left_to_qemu() -> None:
    """A plain pattern gives no name."""
    target = Pattern("/run/web.qmp").target("/run/web.qmp")
    assert target is not None
    assert (target.name, target.named) == ("", True)


def test_what_is_no_expression_is_said() -> None:
    """A bad regular expression is a ConfigError that shows it."""
    with pytest.raises(ConfigError, match=r"found '\(\?P<vm'; expected a regular expression"):
        expression("(?P<vm")
