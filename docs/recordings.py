"""The page of recordings, with the list of what is in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qmp_exporter.recording.kept import EVENTS, REPLIES, Rule


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qmp_exporter.recording.kept import Members

    Row = Callable[..., str]


GENERATED: Final = (
    "<!-- Written by scripts/docs from docs/recordings.py and the list in"
    " src/qmp_exporter/recording/kept.py; edit those instead. -->\n"
)
HOW: Final = """\
`qmp-exporter record` writes down what QEMU says at a monitor, and `qmp-exporter replay` says it
again, without QEMU. So an odd number on the page of one host can be looked at on another, and a bug
that was reported becomes a test.

## To send us one

Where the exporter shows something that cannot be right, record the monitor while that happens:

    qmp-exporter record /run/qemu/web.qmp web.jsonl

A monitor serves one client, so give the machine a second one for this, or stop the exporter
meanwhile: a monitor in use is not dialled. Ctrl-C ends the recording, and so does the end of QEMU.
Look at the file, which is text, a line for each thing said; then attach it to the report.

What is sent to the machine is what the exporter sends: `record` is a session of the exporter that
writes to a file instead of metrics. It honours `--no-qmp.migration-events`. The file is new, nobody
else may read it (mode 0600), and it ends at `--max-size` (64MiB). Without FILE, the lines go to
standard output.

## To play one

    qmp-exporter replay web.jsonl
    qmp-exporter --qmp.socket /tmp/qmp-exporter-x/replay.qmp     # what it printed

`--socket PATH` says where the monitor is to be. `--speed 10` is ten times as fast, `--speed max`
without pauses; `--loop` begins again at the end. Stamps are moved to now, and their distances are
those of the recording, divided by the speed. At another speed than 1, what depends on a second of
QEMU's time may come out differently: resets that are one reboot, and all durations.

The monitor greets, negotiates, and answers the queries that were recorded with what was recorded;
others as the events tell; all else it refuses as QEMU does. Where the recording has a reply right
after an event, it waits up to a second for the question, so that a client that asks what the
exporter asks gets the same stream, line for line, at any speed. A recording that was stopped while
QEMU ran ends with a monitor that stays, until Ctrl-C.

A file that was edited by hand is read with care: one line says the file, the number of the line,
what was found and what was expected.

## To make a test of one

Put the file into `tests/recordings`, write the text beside it, and read that:

    GOLDEN_UPDATE=1 scripts/test tests/recordings

From then on every run of the tests plays it, to the model without a clock and over a socket to a
whole exporter, and compares.

## What is in a recording, and what is not

What goes into the file is a list: of the events and replies below, these members and no others. Of
an event that is not listed, as a later QEMU may have, only the name is kept, and of a line that is
no event nothing. Members that tell one thing from another are replaced, by the same wherever the
same comes in the file: so clients that come are still those that go, and errors find their disk.
`--keep-personal` keeps everything; the first line of such a file has `"personal":true`, and it is
as private as the monitor itself.

What no list can help: times are kept, and so is what the machine did.

"""
REPLACED: Final = {
    Rule.ID: "an id that the host chose",
    Rule.PATH: "a QOM path: the ids in it; what QEMU names itself stays",
    Rule.TEXT: "text for people; that of an errno stays",
    Rule.CLIENT: "the address of who looks at a screen",
    Rule.SERVER: "another address, of the host or on the network",
    Rule.PORT: "a port, or the path of a socket",
    Rule.DNAME: "the name in a certificate",
    Rule.USER: "the name of a user",
    Rule.VM: "the name of the machine",
    Rule.UUID: "the machine's uuid; all zeros, which is none, stay",
}


def page(table: Row, row: Row) -> str:
    """Return the page."""
    lines = [
        "# Recordings\n",
        GENERATED,
        HOW + _table(table, row),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _table(table: Row, row: Row) -> str:
    lines = [table(("becomes", "what it was"))]
    lines += [row(f"`{rule.value}`", what) for rule, what in REPLACED.items()]
    lines += ["", table(("of the event", "is kept", "is replaced"))]
    lines += [row(f"`{name}`", *_cells(members)) for name, members in sorted(EVENTS.items())]
    lines += ["", table(("of the reply to", "is kept", "is replaced"))]
    lines += [row(f"`{name}`", *_cells(members)) for name, members in REPLIES.items()]
    lines += ["\nOf an error, its class is kept and its text replaced."]
    return "\n".join(lines)


def _cells(members: Members) -> tuple[str, str]:
    kept, replaced = [], []
    for path, rule in _paths(members):
        if rule is Rule.VALUE:
            kept.append(f"`{path}`")
        else:
            replaced.append(f"`{path}`: `{rule.value}`")
    return ", ".join(kept), ", ".join(replaced)


def _paths(members: Members, at: str = "") -> Iterator[tuple[str, Rule]]:
    for name, rule in members.items():
        if isinstance(rule, Rule):
            yield f"{at}{name}", rule
        else:
            yield from _paths(rule, f"{at}{name}.")
