"""The manual page, from the flags."""
# ruff: noqa: INP001

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from qmp_exporter import __version__
from qmp_exporter.config.flags import FLAGS


if TYPE_CHECKING:
    from qmp_exporter.config.flag import Flag


HEAD: Final = r"""
.SH NAME
qmp\-exporter \- Prometheus exporter of QEMU's QMP events
.SH SYNOPSIS
.B qmp\-exporter
.RI [ FLAG ]...
.br
.B qmp\-exporter demo
|
.B record
|
.B replay
.RI [ ARGUMENT ]...
.SH DESCRIPTION
Keeps a QMP connection open to every virtual machine, counts each event that QEMU sends, times it,
and names its cause. Metrics are served at http://localhost:10767/metrics, and a page for people
at http://localhost:10767/.
.PP
The service
.I qmp\-exporter.service
is set by
.IR /etc/default/qmp\-exporter ,
with the variables below. It looks for monitors at
.I /run/qemu/*.qmp
and lets QEMU dial in at
.IR /run/qmp\-exporter/qmp.sock .
.PP
.BR demo ,
.B record
and
.B replay
have a
.B \-\-help
of their own.
.SH FLAGS
A flag comes before its variable, the variable before the file of
.BR \-\-config.file ,
the file before the default. Where a flag may be given again, its variable has one value a line.
"""
TAIL: Final = r"""
.SH FILES
.TP
.I /etc/default/qmp\-exporter
Variables of the service.
.SH SIGNALS
SIGHUP reads the file of
.B \-\-config.file
again; SIGTERM ends the exporter.
.SH SEE ALSO
.BR systemctl (1),
.BR qemu\-system\-x86_64 (1);
.I /usr/share/doc/qmp\-exporter
"""


def page(epoch: int) -> str:
    """Return the page, in the words of man(7)."""
    day = datetime.fromtimestamp(epoch, UTC).date()
    title = f'.TH QMP\\-EXPORTER 1 {day} "qmp\\-exporter {__version__}"'
    return "".join((title, HEAD.rstrip(), "\n", *map(_entry, FLAGS), TAIL.lstrip()))


def _entry(flag: Flag) -> str:
    """Return the paragraph of a flag."""
    lines = [".TP", f".B {_text(flag.name)}"]
    if flag.kind.metavar:
        lines[1] = f".BI {_text(flag.name)} \\~{_text(flag.kind.metavar)}"
    says = f"{flag.help[0].upper()}{flag.help[1:]}"
    says += "; may be given again." if flag.many else "."
    lines += [_text(says), ".br", f"Variable: {_text(flag.variable)}"]
    if flag.default:
        lines[-1] += f"; default: {_text(flag.default)}"
    return "\n".join(lines) + "\n"


def _text(words: str) -> str:
    """Return words in which nothing is a command of roff."""
    found = words.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{found}" if found.startswith((".", "'")) else found
