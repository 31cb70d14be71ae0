"""What the exporter makes of every recording in this folder.

To add one: put a file of `qmp-exporter record` here, write the text beside it with
``GOLDEN_UPDATE=1 scripts/test tests/recordings``, and read that.

The text tells what was said, the spans that come of it, the series that differ from those of the
machine when it was connected, and those that the end of the connection changed.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from golden.pages import checked, series
from integration.exporter import exporting
from qmp_exporter.recording.monitor import MAX_SPEED
from qmp_exporter.recording.replay import replay
from qmp_exporter.recording.tape import Tape
from recordings.driver import ADDRESS, Played
from unit.qmp.watching import PATIENCE, until


if TYPE_CHECKING:
    from integration.exporter import Page

FOLDER = Path(__file__).parent
HOW = "GOLDEN_UPDATE=1 scripts/test tests/recordings"
NAMES = sorted(file.stem for file in FOLDER.glob("*.jsonl"))


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_shows_what_was_read(name: str) -> None:
    """The series that it changes are those of the text beside it, which people have read."""
    tape = Tape.load(FOLDER / f"{name}.jsonl")
    title = f"{name}: {tape.events} events of QEMU {'.'.join(map(str, tape.version))}"
    checked(Played(tape).golden(title), FOLDER / f"{name}.txt", HOW)


def test_each_recording_has_its_text() -> None:
    """And no text is left of a recording that has gone."""
    assert {file.stem for file in FOLDER.glob("*.txt")} == set(NAMES)
    assert len(NAMES) >= 3


def test_no_recording_has_personal_data() -> None:
    """They are published: what was kept with --keep-personal does not belong here."""
    texts = {name: (FOLDER / f"{name}.jsonl").read_text() for name in NAMES}
    assert [name for name, text in texts.items() if '"personal"' in text.partition("\n")[0]] == []


def timeless(text: str, monitor: str) -> dict[str, str]:
    """Return the samples of VMs that do not depend on when something was."""
    found = {head.replace(monitor, ""): value for head, value in series(text).items()}
    timed = re.compile(r"_seconds|_reboots_total|^qmp_exporter_(?!decode)|^(process|python)_")
    return {head: value for head, value in found.items() if not timed.search(head)}


def there(path: Path) -> bool:
    """Tell whether there is a socket."""
    return path.exists()


@pytest.mark.parametrize("name", NAMES)
async def test_a_replay_gives_an_exporter_the_same(name: str, tmp_path: Path) -> None:
    """Over a real socket, without pauses, the page ends as it does without a socket."""
    tape = Tape.load(FOLDER / f"{name}.jsonl")
    expected = timeless(Played(tape).ended, ADDRESS)
    socket = tmp_path / "vm.qmp"
    playing = asyncio.create_task(
        replay(tape, socket, say=lambda _: None, speed=MAX_SPEED, patience=PATIENCE)
    )

    def found(page: Page) -> dict[str, str]:
        return timeless(page.text, str(socket))

    try:
        await until(lambda: there(socket), "the monitor")
        async with exporting(socket) as exporter:
            try:
                await exporter.until(lambda page: found(page) == expected, "the page")
            except AssertionError:
                page = await exporter.scrape()
                assert found(page) == expected
            assert found(await exporter.scrape()) == expected
            if tape.end == "gone":
                await asyncio.wait_for(playing, PATIENCE)
    finally:
        playing.cancel()
        await asyncio.wait((playing,))
