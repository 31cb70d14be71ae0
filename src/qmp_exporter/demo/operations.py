"""Migrations and memory dumps, from the command to their end.

QEMU announces a migration only where its capability ``events`` is on. To switch it on is up to
the exporter; the lab never does.

Source: QEMU's docs/interop/qmp-ref, sections Migration and Dump guest memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from qmp_exporter.demo.machine import Machine


NOWHERE = "exec:cat >/dev/null"
"""Where to migrate to when nobody is there to receive: a shell command that takes it all."""

ENDED = ("completed", "failed", "cancelled")
"""Statuses a migration keeps."""


async def migrate(machine: Machine, uri: str = NOWHERE) -> str:
    """Migrate and return how it ended: ``completed``, ``failed`` or ``cancelled``.

    After ``completed`` the VM is stopped, run state ``postmigrate``; ``cont`` lets it go on here.
    ``exec:false`` fails.
    """
    await machine.execute("migrate", uri=uri)
    outcome = await machine.until(*ENDED, query="query-migrate")
    if outcome == "completed":  # QEMU says so just before it stops the machine for good
        await machine.until("postmigrate")
    return outcome


async def migrate_cancelled(machine: Machine, uri: str = NOWHERE) -> str:
    """Migrate as slowly as can be and cancel it; return how it ended. The VM goes on."""
    parameters = await machine.execute("query-migrate-parameters")
    await _limit(machine, 1000)
    try:
        await machine.execute("migrate", uri=uri)
        await machine.until("active", *ENDED, query="query-migrate")
        await machine.execute("migrate_cancel")
        return await machine.until(*ENDED, query="query-migrate")
    finally:
        await _limit(machine, parameters["max-bandwidth"])


async def migrate_between(source: Machine, destination: Machine) -> str:
    """Migrate to a machine started with ``-incoming defer`` and the same devices.

    Afterwards the source is stopped (``postmigrate``) and the destination runs.
    """
    uri = f"unix:{destination.directory / destination.name}.migration"
    await destination.execute("migrate-incoming", uri=uri)
    return await migrate(source, uri)


async def dump(machine: Machine, path: str = "/dev/null") -> str:
    """Dump the guest's memory to a file; return ``completed`` or ``failed``.

    A relative path starts at the machine's directory. ``/dev/full`` fails.
    """
    await machine.execute("dump-guest-memory", paging=False, protocol=f"file:{path}", detach=True)
    return await machine.until("completed", "failed", query="query-dump")


async def _limit(machine: Machine, bytes_per_second: int) -> None:
    await machine.execute("migrate-set-parameters", **{"max-bandwidth": bytes_per_second})
