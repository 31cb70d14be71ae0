"""On which QEMU which event was seen: what scripts/qemus kept, for docs/events.md."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


KEPT: Final = json.loads((Path(__file__).parent / "qemus.json").read_text())
SHOWN: Final = "shown"
INTRODUCTION: Final = (
    "Each event was brought about on a real QEMU, unmodified builds of Debian, and counted on a"
    " page that was scraped. `scripts/qemus` gets these QEMUs and runs all scenarios again; they"
    " are in `tests/e2e`.\n"
)


def section(
    table: Callable[[Iterable[str]], str], row: Callable[..., str], names: Iterable[str]
) -> Iterator[str]:
    """Yield the lines of the section, given what writes a table, and the events in their order."""
    qemus = KEPT["qemus"].values()
    versions = [str(qemu["version"]).partition(" ")[0] for qemu in qemus]
    reasons = dict.fromkeys(
        why for qemu in qemus for why in qemu["events"].values() if why != SHOWN
    )
    notes = {why: f"not shown [^{number}]" for number, why in enumerate(reasons, 1)}
    yield "## On which QEMU\n"
    yield INTRODUCTION
    yield table(("event", *versions, "scenarios"))
    for name in names:
        if name in KEPT["scenarios"]:
            results = [qemu["events"].get(name, "no scenario") for qemu in qemus]
            cells = ["yes" if result == SHOWN else notes.get(result, "") for result in results]
            scenarios = (one.replace(".py::", ": ") for one in KEPT["scenarios"][name])
            yield row(
                f"[`{name}`](#{name.lower()})", *cells, "<br>".join(f"`{one}`" for one in scenarios)
            )
    yield ""
    yield from (f"[^{number}]: {why}.\n" for number, why in enumerate(reasons, 1))
    yield "Scenarios that not every QEMU has, and why:\n"
    apart: dict[tuple[str, str], list[str]] = defaultdict(list)
    for version, qemu in zip(versions, qemus, strict=True):
        for scenario, why in qemu["apart"].items():
            apart[scenario, why].append(version)
    for (scenario, why), missing in sorted(apart.items()):
        yield f"- `{scenario.replace('.py::', ': ')}`, not on {' and '.join(missing)}: {why}."
    yield ""
