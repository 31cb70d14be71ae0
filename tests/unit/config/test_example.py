"""The example of the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import yaml

from qmp_exporter.config import schema
from qmp_exporter.config.flags import FLAGS
from qmp_exporter.config.load import load, sections
from qmp_exporter.config.members import LISTENER, SOCKET


DOCS = Path(__file__).parents[3] / "docs"
EXAMPLE = DOCS / "qmp-exporter.yml"


def test_the_example_is_one_that_works() -> None:
    """To the exporter, and to an editor, which finds the schema where its first line says."""
    found = load({"config_file": str(EXAMPLE)}, {})
    assert found.patterns[0].target("/srv/vms/acme/web.qmp").labels == (("customer", "acme"),)
    assert [target.name for target in found.targets] == ["", "", "database"]
    assert [listener.group for listener in found.listeners] == ["kvm", "lab"]
    jsonschema.Draft7Validator(schema.schema()).validate(yaml.safe_load(EXAMPLE.read_text()))
    where = re.match(r"# yaml-language-server: \$schema=(.*)\n", EXAMPLE.read_text())
    assert where
    assert (DOCS / where[1]).resolve() == Path(schema.__file__).with_name("schema.json")


def test_the_example_has_every_key() -> None:
    """All that can be set is shown, and all of a mapping."""
    shown = yaml.safe_load(EXAMPLE.read_text())
    assert tuple(shown) == sections()
    for name, section in shown.items():
        assert tuple(section) == sections(name)
    for key, members in (("socket", SOCKET), ("listen", LISTENER)):
        mappings = [entry for entry in shown["qmp"][key] if isinstance(entry, dict)]
        known = {member.name for member in members}
        used = {name for entry in mappings for name in entry}
        assert used | {"migration_events"} == known


def test_the_page_names_every_flag_variable_and_key() -> None:
    """And has the example in full."""
    page = (DOCS / "configuration.md").read_text()
    for flag in FLAGS:
        assert f"`{flag.name}" in page
        assert f"`{flag.variable}`" in page
        assert f"`{flag.key}`" in page or not flag.filed
    assert EXAMPLE.read_text() in page
