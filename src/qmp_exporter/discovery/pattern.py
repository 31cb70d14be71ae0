"""Patterns of socket paths, and what the path tells of the VM."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from glob import has_magic
from typing import Final

import msgspec

from qmp_exporter.errors import ConfigError
from qmp_exporter.model.target import Target


NAME_GROUP: Final = "vm"

# Monitors that their managers hold, which a pattern must never take: only an exact path does.
MANAGED: Final = re.compile(
    r"/libvirt/qemu/domain-[^/]*/monitor\.sock$"
    r"|/run/qemu-server/[^/]*\.qmp$"
    r"|/qemu\.monitor$"  # Incus and LXD
)


class Pattern(msgspec.Struct, frozen=True):
    """Sockets to watch.

    Attributes:
        path: an absolute path, or a glob of them: ``*``, ``?``, ``[...]``, and ``**`` for folders.
        name: a regular expression searched in a path; its group ``vm`` is the VM's name, its other
            named groups are labels. None for the name that QEMU tells.
        excludes: globs of paths to leave out.
        labels: further labels of ``qemu_vm_info``, as pairs.
        migration_events: as of a target.
    """

    path: str
    name: re.Pattern[str] | None = None
    excludes: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    migration_events: bool | None = None

    @property
    def exact(self) -> bool:
        """Whether it is one path, not a glob."""
        return not has_magic(self.path)

    def excluded(self, path: str) -> bool:
        """Whether a path that the glob matches is to be left out."""
        return any(fnmatchcase(path, exclude) for exclude in self.excludes)

    @property
    def deep(self) -> bool:
        """Whether it goes through folders, so that only a scan tells what it matches."""
        return "**" in self.path

    def shows(self, path: str) -> bool:
        """Whether it matches a path, where it is not deep."""
        names, globs = path.split("/"), self.path.split("/")
        return len(names) == len(globs) and all(map(_matches, names, globs))

    def target(self, path: str) -> Target | None:
        """Return the monitor at a path, none where the regular expression is not found in it."""
        groups: dict[str, str] = {}
        if self.name is not None:
            found = self.name.search(path)
            if found is None:
                return None
            groups = found.groupdict(default="")
        return Target(
            path,
            name=groups.pop(NAME_GROUP, ""),
            named=self.exact,
            labels=(*self.labels, *groups.items()),
            migration_events=self.migration_events,
        )


def _matches(name: str, glob: str) -> bool:
    """Whether a name of a file or folder matches, as in the shell: a hidden one only if said."""
    hidden = name.startswith(".") and not glob.startswith(".")
    return not hidden and fnmatchcase(name, glob)


def managed(path: str) -> bool:
    """Whether a path is the monitor of libvirt, Proxmox, Incus or LXD themselves."""
    return MANAGED.search(path) is not None


def expression(text: str) -> re.Pattern[str]:
    """Return a regular expression for ``Pattern.name``.

    Raises:
        ConfigError: it is none.
    """
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as err:
        raise ConfigError(f"found {text!r}; expected a regular expression: {err}") from None
