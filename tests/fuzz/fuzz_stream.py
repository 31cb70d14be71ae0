"""The entry of `scripts/fuzz`: fuzz_stream.py WORDS [ARGUMENT OF LIBFUZZER]...

It writes a file of words that streams are made of, and tries streams; files among the arguments
are tried once, which is how to see a fault again.
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from typing import Final

import atheris


with atheris.instrument_imports(include=["qmp_exporter", "qemu.qmp"]):
    from fuzz.harness import check, cuts_of
    from fuzz.test_stream import ODD
    from qmp_exporter.catalog.events import EVENTS


PAGES: Final = 16
"""Of so many streams one is taken as far as the page, which is most of the work."""

_number = count()


def one(stream: bytes) -> None:
    """Try one stream."""
    check(stream, cuts_of(stream), page=next(_number) % PAGES == 0)


def words() -> str:
    """Return the names and members of all events and some oddities, as libFuzzer reads them."""
    found = {b'"%s"' % spec.name.encode() for spec in EVENTS}
    found |= {
        b'"%s":' % name.encode() for spec in EVENTS for name in spec.payload.__struct_fields__
    }
    found |= {word for word in ODD if len(word) < 64}
    lines = ("".join(f"\\x{byte:02x}" for byte in word) for word in sorted(found))
    return "".join(f'"{line}"\n' for line in lines)


if __name__ == "__main__":
    program, file, *arguments = sys.argv
    Path(file).write_text(words())
    atheris.Setup([program, f"-dict={file}", *arguments], one)
    atheris.Fuzz()
