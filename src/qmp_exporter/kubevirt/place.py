"""Where the two sockets are: that of the hook, and that of QEMU's monitor.

One directory is shared between the container ``compute``, in which virt-launcher and QEMU run, and
a hook sidecar: the volume ``hook-sidecar-sockets``, at /var/run/kubevirt-hooks. Up to KubeVirt 1.5
both see all of it. From 1.6 on a sidecar sees a subdirectory of its own there, which ``compute``
sees by the sidecar's name, such as hook-sidecar-0; the variable CONTAINER_NAME, which is new then,
tells it (``pkg/virt-controller/services/template.go``, ``sidecarVolumeMount`` and
``newSidecarContainerRenderer``, v1.5.0 and v1.6.0).

virt-launcher takes whatever is in that directory for a hook, also a monitor, and ends where it does
not answer as one. It looks once, before it starts libvirt (``cmd/virt-launcher/virt-launcher.go``,
``Collect``), so QEMU's socket, which is made later, is never taken for a hook. A directory of our
own for it would be worse: a machine that migrates to a KubeVirt of the other kind would not find it
there, and QEMU does not start where it cannot make a socket.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import msgspec

from qmp_exporter.config.texts import SUN_PATH
from qmp_exporter.errors import ConfigError


DIRECTORY: Final = "/var/run/kubevirt-hooks"
"""``HookSocketsSharedDirectory`` of ``pkg/hooks/hooks.go``, v1.3.0 to v1.7.0."""

NAME: Final = "qmp-exporter"
"""From 1.6 on no two hooks of a machine may have one name: the second would not be seen."""

CONTAINER: Final = "CONTAINER_NAME"
"""``ContainerNameEnvVar`` of ``pkg/hooks/hooks.go``, v1.6.0."""


class Place(msgspec.Struct, frozen=True):
    """Where the sockets are.

    Attributes:
        hook: that at which virt-launcher calls.
        monitor: that of QEMU's monitor, as it is seen here.
        monitor_of_qemu: the same as it is seen from the container of QEMU.
        name: of the hook.
    """

    hook: str
    monitor: str
    monitor_of_qemu: str
    name: str


def place(directory: str, name: str, container: str) -> Place:
    """Return where the sockets are.

    Args:
        directory: of the hooks, absolute.
        name: of the hook.
        container: what KubeVirt says this container is called, empty where it says nothing.

    Raises:
        ConfigError: there is no such directory, a name is none, or a path is too long.
    """
    _check_name("--hook.name", name)
    if not (directory.startswith("/") and directory.isprintable()):
        raise ConfigError(f"--hook.socket-dir: found {directory!r}; expected an absolute path")
    beyond = directory
    if container:
        _check_name(CONTAINER, container)
        beyond = os.path.join(directory, container)  # noqa: PTH118 - a text, of another container
    found = Place(
        os.path.join(directory, f"{name}.sock"),  # noqa: PTH118 - as above
        os.path.join(directory, f"{name}.qmp"),  # noqa: PTH118 - as above
        os.path.join(beyond, f"{name}.qmp"),  # noqa: PTH118 - as above
        name,
    )
    for path in (found.hook, found.monitor_of_qemu):
        if len(os.fsencode(path)) > SUN_PATH:
            raise ConfigError(
                f"--hook.socket-dir: found a path of {len(os.fsencode(path))} bytes, {path};"
                f" expected at most {SUN_PATH}"
            )
    if not Path(directory).is_dir():
        raise ConfigError(
            f"--hook.socket-dir: found no directory {directory}; expected the one that KubeVirt"
            " mounts in a hook sidecar, and to run as one"
        )
    return found


def _check_name(what: str, name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", name):
        raise ConfigError(f"{what}: found {name!r}; expected letters, digits, - and _")
