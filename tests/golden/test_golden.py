"""What the page shows of every captured story and of every example of the old documents.

A golden file tells a story: in comments how it was brought about, every event with what decides
how it counts, what QEMU answered, and the spans that come of it; then the series that differ from
those of the VM when it was connected, as the page shows them; last, those that the end of QEMU
changed. Of the 17 rows that `qemu_migration_status` has from the first migration on, those that
read 0 are left out there; so are the sums over all VMs, which have a test of their own.

To write the files anew: ``GOLDEN_UPDATE=1 scripts/test tests/golden``, then read the difference.
"""

from __future__ import annotations

import subprocess
import textwrap
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from golden.driver import Stage
from golden.pages import checked, differing, series
from golden.stories import Story, captured, told
from qmp_exporter.catalog.metrics import FLEET_METRICS
from qmp_exporter.demo.captures import RecordedEvent
from spec_examples import SPEC_EVENTS, VERSIONS, broken_spec_example, spec_examples
from support import require_tool


FOLDER = Path(__file__).parent
BEFORE = {"MIGRATION": "finish-migrate", "RESUME": "paused"}
"""Run states in which the examples make sense, other than running."""

HOW = "GOLDEN_UPDATE=1 scripts/test tests/golden"


def spec_stories() -> dict[str, Story]:
    """Return a story for each event of the documents, and one for the example that is broken."""
    examples: dict[str, list[bytes]] = {}
    for line in spec_examples():
        examples.setdefault(RecordedEvent.parse(line).name, []).append(line)
    (connected,) = examples["SPICE_CONNECTED"]
    # One heading and one example for both.
    disconnected = connected.replace(b"SPICE_CONNECTED", b"SPICE_DISCONNECTED")
    examples["SPICE_DISCONNECTED"] = [connected, disconnected]
    recipes = {
        "QUORUM_REPORT_BAD": "both examples, as they stand",
        "SPICE_DISCONNECTED": "the example of SPICE_CONNECTED, which is for both",
    }
    found = {
        event: told(
            f"{event} as the old documents have it",
            recipes.get(event, "the example, as it stands"),
            *lines,
            status=BEFORE.get(event, "running"),
        )
        for event, lines in examples.items()
    }
    found["MEM_UNPLUG_ERROR-broken"] = told(
        "MEM_UNPLUG_ERROR as the old documents have it",
        "the example on one line, without the comma that it lacks",
        b" ".join(broken_spec_example().splitlines()),
    )
    return found


def stories() -> dict[str, Story]:
    """Return every story by the path of its golden file, without suffix."""
    found = {f"spec/{event}": story for event, story in spec_stories().items()}
    for version in VERSIONS:
        found |= {f"qemu-{version}/{name}": one for name, one in captured(version).items()}
    return found


def golden(story: Story) -> str:
    """Return the text of a golden file."""
    stage = Stage()
    connected, said, ended = stage.play(story)
    recipe = textwrap.wrap(story.recipe, 96)
    lines = [story.title, *recipe, "", *stage.notes]
    if spans := list(stage.spans()):
        lines += ["", "as spans:", *(f"- {span}" for span in spans)]
    text = [f"# {line}".rstrip() for line in lines]
    text += ["", "# what differs from the page at connect:", *differing(connected, said)]
    if end := list(differing(said, ended)):
        text += ["", "# what the end of QEMU changed:", *end]
    return "\n".join(text) + "\n"


STORIES = stories()
ANNOUNCED = [
    name
    for name, story in STORIES.items()
    if any(event.name == "STOP" for event in story.actors[0].events)
    and not name.endswith(("/lifecycle-qmp", "/STOP"))  # somebody said so, nothing went before
    and "migrat" not in name
]


@pytest.mark.parametrize("name", STORIES)
def test_the_page_is_as_it_was_read(name: str) -> None:
    """The series that a story changes are those of its golden file, which people have read."""
    text = golden(STORIES[name])
    checked(text, FOLDER / f"{name}.txt", HOW)


def test_each_story_has_its_file() -> None:
    """No golden file is left of a story that is not played."""
    files = {str(file.relative_to(FOLDER).with_suffix("")) for file in FOLDER.rglob("*.txt")}
    assert files == set(STORIES)
    assert {f"spec/{event}" for event in SPEC_EVENTS} < files


@pytest.mark.parametrize("name", ANNOUNCED)
def test_a_stop_has_its_cause_even_if_qemu_does_not_answer(name: str) -> None:
    """QEMU may end before it answers query-status; the event before the STOP tells as much."""
    *_, asked = Stage().play(STORIES[name])
    *_, guessed = Stage(silent=True).play(STORIES[name])
    told = {head: value for head, value in series(asked).items() if "_vm_stop" in head}
    assert {head: series(guessed)[head] for head in told} == told
    assert told['qemu_vm_stops_total{vm="vm",cause="other"}'] == "0"


@pytest.fixture(scope="module")
def crowd() -> Stage:
    """All stories on one page, each with VMs of its own name."""
    stage = Stage()
    for name, story in STORIES.items():
        assert len(list(stage.play(story, name.replace("/", "-")))) == 3
    return stage


def test_promtool_finds_nothing_wrong(crowd: Stage) -> None:
    """Names, HELP and TYPE are as Prometheus wants them."""
    checked = subprocess.run(
        [require_tool("promtool"), "check", "metrics"],
        input=crowd.page(100.0),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_page_is_openmetrics_and_adds_up(crowd: Stage) -> None:
    """The strict parser takes it, and what is shown of the fleet is the sum over its VMs."""
    page = crowd.page(100.0, openmetrics=True) + "# EOF\n"
    families = {family.name: family for family in text_string_to_metric_families(page)}
    assert len({s.labels["vm"] for s in families["qemu_up"].samples}) > len(STORIES)
    for fleet, metric in FLEET_METRICS.items():
        sums: Counter[str] = Counter()
        (label,) = metric.labels
        for sample in families[metric.name.removesuffix("_total")].samples:
            sums[sample.labels[label.name]] += int(sample.value)
        shown = {s.labels[label.name]: s.value for s in families[fleet[:-6]].samples}
        assert shown == sums
        assert sums.total() > 0
