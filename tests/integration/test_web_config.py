"""Web configuration files: our verdict is that of `promtool check web-config`."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
from pathlib import Path

import pytest

from certificates import filled, write_all
from qmp_exporter.config.web_file import read_web_file
from qmp_exporter.errors import ConfigError
from qmp_exporter.web.tls import context
from support import require_tool


CORPUS = Path(__file__).parent.parent / "data" / "web_config"
FILES = sorted(str(path.relative_to(CORPUS)) for path in CORPUS.rglob("*.yml"))
SINCE = {"good": (2, 42), "bad": (2, 42), "refused": (2, 42), "newer": (3, 5), "newest": (3, 12)}
"""The first promtool that has the verdict of a folder."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the corpus, and with the certificates that it names."""
    made = tmp_path_factory.mktemp("web_config")
    write_all(made)
    for name in FILES:
        (made / flat(name)).write_bytes(filled((CORPUS / name).read_bytes(), made))
    return made


def flat(name: str) -> str:
    """The name of a file of the corpus, in one folder with all others."""
    return name.replace("/", "-")


def refusal(path: Path) -> str:
    """What we say of a file; nothing if it is good."""
    try:
        if tls := read_web_file(str(path)).tls:
            context(tls)
    except ConfigError as err:
        return str(err)
    return ""


def knows(curve: str) -> bool:
    """Whether this Python can set a curve; that of Debian 12 can set those of NIST only."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ecdh_curve(curve)
    except ssl.SSLError:
        return False
    return True


@pytest.mark.parametrize("name", FILES)
def test_the_verdict_is_the_one_of_its_folder(name: str, folder: Path) -> None:
    """In one line, which says in which file and what was expected, and has no secret in it."""
    path = folder / flat(name)
    said = refusal(path)
    if Path(name).stem == "curve-X25519" and not knows("X25519"):
        assert "found the curve X25519, which this Python cannot set" in said
    elif Path(name).parent.name == "good":
        assert said == ""
        return
    assert said.startswith(f"{path}:")
    assert "expected" in said or "not YAML" in said
    assert said.isprintable()
    assert "hunter2" not in said
    assert not re.search(r"\$[0-9a-z]{1,8}\$|PRIVATE", said)


def asked(promtool: str, path: Path) -> bool:
    """Whether promtool takes a file."""
    command = [promtool, "check", "web-config", path]
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0


def test_promtool_has_the_same_verdicts(folder: Path) -> None:
    """But on what we refuse with a reason, and on what it is too old for."""
    promtool = os.environ.get("PROMTOOL") or require_tool("promtool")
    shown = subprocess.run([promtool, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version v?([0-9]+)\.([0-9]+)", shown.stdout + shown.stderr)
    assert found, shown
    version = (int(found[1]), int(found[2]))
    verdicts = {
        name: "good" if asked(promtool, folder / flat(name)) else "bad"
        for name in FILES
        if SINCE[Path(name).parts[0]] <= version
    }
    expected = {
        name: "good" if name.startswith("refused") else Path(name).parent.name for name in verdicts
    }
    assert verdicts == expected
    assert len(verdicts) > 200
