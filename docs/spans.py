"""The page of all spans, from the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qmp_exporter.catalog.events import EVENTS
from qmp_exporter.catalog.operations import ATTRIBUTES, EVERYWHERE, OPERATIONS, TOLD
from qmp_exporter.catalog.states import FAILED_EXITS
from qmp_exporter.model.operation import (
    AWAITED,
    CAUSED_WITHIN,
    MAX_ACTIVITY,
    MAX_AGE,
    MAX_EVENTS,
)


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from qmp_exporter.catalog.spec import Operation, Tells


GENERATED: Final = "<!-- Written by scripts/docs from the catalog; edit that instead. -->\n"
START: Final = f"""\
What is a span, and what is told of it. How they look: [tracing.md](tracing.md). The events on them,
with their attributes and severities: [events.md](events.md).

A span of an operation that lasts longer than {MAX_AGE / 60:g} minutes, or has {MAX_EVENTS} events,
ends, and the operation goes on in another one of the same trace: its parent is the first, and a
link `previous` leads to the one before. One that has ended is exported when QEMU has answered what
else is to be known of it, {AWAITED:g} s later at most. A `qemu.activity` ends after
{MAX_ACTIVITY:g} s or {MAX_EVENTS} events; the next is a trace of its own, linked to it.
"""
FOLLOWS: Final = f"""
An event that follows from another, by QEMU's stamps within {CAUSED_WITHIN:g} s, has the attribute
`qemu.cause` with the name of that one. If it begins a span, a link `cause` leads from there to the
span that has the other.
"""
FAILED: Final = (
    "The operation failed, and how; its status is ERROR then. If it had not failed when QEMU ended:"
    f" {', '.join(f'`{cause}`' for cause in sorted(FAILED_EXITS))}, if that is how."
)
SCOPE: Final = """\
The VM, and not the exporter, which is the instrumentation scope, `qmp_exporter`. What
`OTEL_RESOURCE_ATTRIBUTES` says comes with it.
"""
RESOURCE: Final = (
    ("host.id", "the VM's uuid, if it has one"),
    ("host.name", "its name"),
    ("host.arch", "of the VM, in the words of OpenTelemetry: `amd64`, `arm64`"),
    ("service.name", "`OTEL_SERVICE_NAME`, else `qemu`"),
    ("service.instance.id", "the uuid, else the label `vm`"),
    ("qemu.vm", "the label `vm` of its metrics"),
    ("qemu.version", "of QEMU"),
)


def page(table: Callable[[Iterable[str]], str], row: Callable[..., str]) -> str:
    """Return the page."""
    lines = ["# Spans\n", GENERATED, START]
    for operation in OPERATIONS:
        lines += _operation(operation)
    lines += ["## Attributes of any span\n", table(("attribute", "what it says"))]
    lines += [row(f"`{name}`", ATTRIBUTES[name]) for name in EVERYWHERE]
    lines.append(row("`error.type`", FAILED))
    lines += ["\n## What follows from what", FOLLOWS, table(("event", "if", "what follows"))]
    for spec in EVENTS:
        for causes in spec.causes:
            values = " or ".join(f"`{value}`" for value in causes.values)
            when = f"`{causes.member}` is {values}" if values else ""
            lines.append(row(f"`{spec.otel_name}`", when, f"`qemu.{causes.event.lower()}`"))
    lines += [
        "\n## The resource\n",
        SCOPE,
        table(("attribute", "what it is")),
        *(row(f"`{name}`", text) for name, text in RESOURCE),
    ]
    return "\n".join(lines) + "\n"


def _operation(operation: Operation) -> Iterator[str]:
    yield f"## {operation.name}\n"
    yield f"{operation.help}\n"
    events = [spec.otel_name for spec in EVENTS if spec.operation is operation]
    if events:
        yield f"- Events: {_names(events)}" + (
            ", and what else happens meanwhile." if operation.gathers else "."
        )
    if operation.within is not None:
        yield f"- A child of `{operation.within.name}` where it is a part of that."
    tells = _tells(operation)
    names = dict.fromkeys(name for one in tells for name in one.members)
    for name in names:
        yield f"- `{name}`: {ATTRIBUTES[name]}"
    failures = sorted(
        {f for one in tells for f in one.failures.values()} | {one.error for one in tells}
    )
    failures = [str(failure) for failure in failures if failure]
    failures += ["timeout"] if operation.timeout else []
    if failures:
        yield f"- `error.type`: {_names(failures)}."
    if events or operation.within is not None:
        yield ""


def _tells(operation: Operation) -> list[Tells]:
    found = [tells for tells in TOLD.values() if tells.operation is operation]
    specs = (spec.tells for spec in EVENTS if spec.tells is not None)
    return found + [tells for tells in specs if tells.operation is operation]


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
