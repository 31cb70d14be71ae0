"""Settings written as the file that sets them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from qmp_exporter.config.file import SCALARS, TAG
from qmp_exporter.config.flags import FLAGS
from qmp_exporter.config.otel import shown


if TYPE_CHECKING:
    from qmp_exporter.config.settings import Settings


class _Dumper(yaml.SafeDumper):
    """Puts quotes around what either YAML 1.1 or 1.2 would take for more than a text."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - every value in full
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        super().increase_indent(flow, indentless=False)  # lists are set in, as in the documentation


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    # Line breaks, of which Unicode has more than one expects, are escaped and not folded.
    return dumper.represent_scalar(f"{TAG}str", text, None if text.isprintable() else '"')


_Dumper.add_representer(str, _text)
for _name, _look, _starts in SCALARS:
    _Dumper.add_implicit_resolver(f"{TAG}{_name}", re.compile(rf"^(?:{_look})$"), _starts)


def effective(settings: Settings) -> str:
    """Return all settings, the defaults included, as a file that makes the same settings."""
    tree: dict[str, Any] = {}
    for flag in FLAGS:
        if flag.filed:
            *sections, name = flag.key.split(".")
            section = tree
            for key in sections:
                section = section.setdefault(key, {})
            section[name] = flag.of(settings)
    text: str = yaml.dump(
        tree,
        Dumper=_Dumper,
        allow_unicode=True,
        default_flow_style=False,
        sort_keys=False,
        width=10_000,
    )
    return text + _environment(settings)


def _environment(settings: Settings) -> str:
    """Return what OpenTelemetry's variables say, which are not of the file, as comments."""
    if settings.otel is None:
        return ""
    lines = ("OpenTelemetry, as the environment says:", *shown(settings.otel))
    return "".join(f"# {line}\n" for line in lines)
