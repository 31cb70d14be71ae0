"""The page of all that can be set, from the flags and the example beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qmp_exporter.config.flags import FLAGS
from qmp_exporter.config.members import LISTENER, RESERVED, SOCKET, Member
from qmp_exporter.config.settings import Settings


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qmp_exporter.config.flag import Flag

    Row = Callable[..., str]


EXAMPLE: Final = Path(__file__).with_name("qmp-exporter.yml")
GENERATED: Final = (
    "<!-- Written by scripts/docs from the flags and docs/qmp-exporter.yml; edit those instead."
    " -->\n"
)
SOURCES: Final = """\
What can be set, can be set by a flag, by an environment variable and in a file. A flag comes before
its variable, the variable before the file, the file before the default. Where a flag may be given
again, its variable has one value a line, the file has a list or a single value, and whichever comes
first is all there is: lists are not put together.

The variable of a switch is `true` or `false` (or `1`, `on`, `yes`; `0`, `off`, `no`). An empty
variable of a switch, or of a flag that may be given again, is as good as none.
"""
FILE: Final = """\
`--config.file` names the file. `qmp-exporter --config.check` with the other flags as they will be
prints all that is set then, defaults included, as such a file, or one line with what is wrong. On
SIGHUP the file is read again; a file with a fault changes nothing, and the log says what it is.

- Keys are checked: one that is unknown or there twice is an error, and so is a value of the wrong
  type, an alias or a tag. Errors name file, line and key.
- Texts are read as in YAML 1.2: `on` and `no` are texts, and what looks like a number is one,
  unless it is in quotes: `mode: "0600"`.
- Paths that do not begin with `/` start in the folder of the file. (Those of flags and variables
  start in the working directory.)
- In a glob, `*` and `?` do not match a slash; `**` between two slashes is any number of folders,
  without hidden ones and links to folders.
- The file is UTF-8, of at most 1 MiB.

[`src/qmp_exporter/config/schema.json`](../src/qmp_exporter/config/schema.json) is its JSON Schema,
for editors; the first line of the example below shows how to name it. The package has it too, at
`qmp_exporter/config/schema.json`.
"""
LABELS: Final = f"""
The name of a label has letters, digits and `_`, does not begin with `__`, and is none of those that
`qemu_vm_info` has anyway: {", ".join(f"`{name}`" for name in RESERVED)}.
"""


OTEL: Final = """
## OpenTelemetry

Where traces, logs and metrics are sent to, and how, is not set here but by OpenTelemetry's own
variables, such as `OTEL_EXPORTER_OTLP_ENDPOINT`: [opentelemetry.md](opentelemetry.md).
"""


def page(table: Callable[[tuple[str, ...]], str], row: Row) -> str:
    """Return the page; ``table`` makes the head of a table, ``row`` one of its rows."""
    lines = [
        "# Configuration\n",
        GENERATED,
        SOURCES,
        "## Flags, variables and keys\n",
        table(("flag, variable", "key", "default", "what it does")),
        *(row(*cells(flag)) for flag in FLAGS),
        "\n## The file\n",
        FILE,
        "An entry of `qmp.socket` is a text, as the flag takes it, or a mapping:\n",
        table(("key", "what it does")),
        *members(SOCKET, row),
        "\nAn entry of `qmp.listen` is a path, or a mapping:\n",
        table(("key", "what it does")),
        *members(LISTENER, row),
        LABELS,
        OTEL,
        "## An example\n",
        f"[qmp-exporter.yml]({EXAMPLE.name}):\n",
        f"```yaml\n{EXAMPLE.read_text()}```",
    ]
    return "\n".join(lines) + "\n"


def cells(flag: Flag) -> tuple[str, str, str, str]:
    """Return the row of a flag."""
    usage = f"{flag.name} {flag.kind.metavar}".strip()
    default = json.dumps(flag.of(Settings())) if flag.filed else ""
    shown = f"`{flag.default or default}`" if default not in ("", "[]", '""') else ""
    more = "; may be given again" if flag.many else ""
    if flag.says != flag.help:
        more = "; the key says whether to"
    return (
        f"`{usage}`<br>`{flag.variable}`",
        f"`{flag.key}`" if flag.key else "",
        shown,
        f"{flag.help}{more}",
    )


def members(found: tuple[Member, ...], row: Row) -> Iterator[str]:
    """Yield a row for each key of a mapping."""
    return (row(f"`{member.name}`", member.help) for member in found)
