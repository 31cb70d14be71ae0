"""Folders: full ones, and such as come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apart.folder import comes_and_goes, crowded
from apart.table import percentiles, show


if TYPE_CHECKING:
    from pathlib import Path

    from apart.folder import Folder


async def test_a_socket_among_thousands_of_files(place: Path) -> None:
    """A new socket is connected within 100 ms, though a scan takes longer."""
    found = await crowded(place, files=10_000, sockets=2_000, new=30, idle=20)
    told("A folder of 10 000 files and 2 000 sockets", found)
    assert sorted(found.found)[len(found.found) // 2] < 0.1


async def test_a_socket_that_appears(place: Path) -> None:
    """It is connected within 100 ms, also where it is one that was removed a moment ago."""
    found = await crowded(place, files=10, sockets=20, new=100, idle=20)
    told("A folder of 20 sockets", found)
    assert sorted(found.found)[len(found.found) // 2] < 0.1


def told(title: str, found: Folder) -> None:
    """Print what was found of a folder."""
    show(
        title,
        seconds_of_a_scan=f"{found.scan:.4f}",
        of_a_core_while_idle=f"{100 * found.idle:.2f} %",
        from_socket_to_connected=percentiles(found.found),
        where_it_is_made_again_at_once=percentiles(found.again),
    )


async def test_a_folder_that_comes_and_goes(place: Path) -> None:
    """It need not be there at the start, and may be removed and made again."""
    found = await comes_and_goes(place, times=10, again=3)
    show("A folder made 10 times", from_socket_to_connected=percentiles(found))
