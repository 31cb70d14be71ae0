"""The change of a domain's XML that gives QEMU one more monitor.

The document is not written anew: a parser finds the place, and the text of the new arguments goes
in there, so that every other byte stays as it was. What QEMU is given listens (``server=on``): a
QEMU that dials in would take ``reconnect=`` or ``reconnect-ms=``, by its version, does not start
with the wrong one, and a hook is not told the version.
"""

from __future__ import annotations

import html
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final
from xml.parsers import expat

from qmp_exporter.errors import DomainError


if TYPE_CHECKING:
    from typing import NoReturn


NAMESPACE: Final = "http://libvirt.org/schemas/domain/qemu/1.0"
"""Of arguments of QEMU, see https://libvirt.org/drvqemu.html, pass-through."""

LARGEST: Final = 8 * 1024 * 1024
"""Bytes of a document; what virt-launcher sends has some thousands."""

DEEPEST: Final = 256
"""Elements within one another, as libxml2, which libvirt reads with, has it."""

_COMMANDLINE: Final = f"{NAMESPACE} commandline"
_ARGUMENT: Final = f"{NAMESPACE} arg"
_TAG: Final = re.compile(rb"""<(?:[^"'>]|"[^"]*"|'[^']*')*+>""")
_ENCODINGS: Final = ("utf-8", "utf8", "us-ascii", "ascii")


def with_monitor(xml: bytes, path: str) -> bytes:
    """Return the document with a monitor that listens at ``path``; as it is if it has that.

    Args:
        xml: a domain of libvirt, in UTF-8.
        path: absolute, as QEMU will see it, without control characters.

    Raises:
        DomainError: it is no domain, or has what no domain of KubeVirt has.
    """
    wanted = monitor(path)
    found = _Found(xml)
    if wanted in pairwise(found.arguments):
        return xml
    if found.commandline is None:
        made = _arguments(wanted, b"qemu:")
        made = b'<qemu:commandline xmlns:qemu="%b">%b</qemu:commandline>' % (
            NAMESPACE.encode(),
            made,
        )
        changed = _into(xml, found.root, b"\t" + made + b"\n", found.end)
    else:
        prefix, colon, _ = _name(xml, found.commandline).rpartition(b":")
        changed = _into(xml, found.commandline, _arguments(wanted, prefix + colon))
    if wanted not in pairwise(_Found(changed).arguments):
        raise DomainError("the change did not come out as it should")
    return changed


def name_of(xml: bytes) -> str:
    """Return the name of the domain; empty where it has none.

    Raises:
        DomainError: as of ``with_monitor``.
    """
    return "".join(_Found(xml).name).strip()


def monitor(path: str) -> tuple[str, str]:
    """Return the two arguments of QEMU, in whose values a comma is doubled."""
    return "-qmp", f"unix:{path.replace(',', ',,')},server=on,wait=off"


class _Found:
    """What is where in a document.

    Attributes:
        root: the first byte of the domain.
        end: the first byte of the tag that closes it.
        commandline: the first byte of the first element with arguments of QEMU.
        arguments: the values of all of them, in order.
        name: the text of the domain's name, in pieces.
    """

    def __init__(self, xml: bytes) -> None:
        self.root = self.end = 0
        self.commandline: int | None = None
        self.arguments: list[str] = []
        self.name: list[str] = []
        self._open: list[str] = []
        if len(xml) > LARGEST:
            raise DomainError(f"found {len(xml)} bytes; expected at most {LARGEST}")
        if b"\0" in xml:
            raise DomainError("found a byte 0; expected UTF-8")
        parser = self._parser = expat.ParserCreate("utf-8", " ")
        parser.XmlDeclHandler = self._declared
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler = self._started
        parser.EndElementHandler = self._ended
        parser.CharacterDataHandler = self._text
        try:
            parser.Parse(xml, True)  # noqa: FBT003 - this is all of it
        except expat.ExpatError as err:
            raise DomainError(f"found no XML: {err}") from None
        finally:
            del self._parser, parser  # it holds this, and this holds it

    def _declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise DomainError(f"found the encoding {encoding[:32]!r}; expected UTF-8")

    def _refuse_doctype(self, *_: object) -> NoReturn:
        # Without one there are no entities, neither of files nor of one another.
        raise DomainError("found a document type; expected none")

    def _started(self, name: str, attributes: dict[str, str]) -> None:
        at = self._parser.CurrentByteIndex
        if not self._open:
            if name != "domain":
                raise DomainError(f"found the element {name[:64]!r}; expected domain")
            self.root = at
        elif len(self._open) == 1 and name == _COMMANDLINE and self.commandline is None:
            self.commandline = at
        elif self._open[1:] == [_COMMANDLINE] and name == _ARGUMENT:
            self.arguments.append(attributes.get("value", ""))
        self._open.append(name)
        if len(self._open) > DEEPEST:
            raise DomainError(f"found more than {DEEPEST} elements within one another")

    def _ended(self, _name: str) -> None:
        if len(self._open) == 1:
            self.end = self._parser.CurrentByteIndex
        self._open.pop()

    def _text(self, text: str) -> None:
        if self._open[1:] == ["name"]:
            self.name.append(text)


def _arguments(values: tuple[str, ...], prefix: bytes) -> bytes:
    tags = (b'<%barg value="%b"/>' % (prefix, html.escape(value).encode()) for value in values)
    return b"".join(tags)


def _into(xml: bytes, at: int, text: bytes, before: int | None = None) -> bytes:
    """Return the document with a text in the element at a place: ``before`` some place, or first.

    An element that is closed by its own tag is opened for it.
    """
    after = _end_of_tag(xml, at)
    if xml[after - 2 : after] == b"/>":
        return b"%b>%b</%b>%b" % (xml[: after - 2], text, _name(xml, at), xml[after:])
    place = after if before is None else before
    return xml[:place] + text + xml[place:]


def _name(xml: bytes, at: int) -> bytes:
    """Return the name in the tag at a place, with its prefix."""
    tag = xml[at + 1 : _end_of_tag(xml, at) - 1]
    return tag.removesuffix(b"/").split(maxsplit=1)[0]


def _end_of_tag(xml: bytes, at: int) -> int:
    """Return the place behind the tag at a place, in whose values there may be a ``>``."""
    found = _TAG.match(xml, at)
    assert found is not None  # noqa: S101 - the parser has seen one
    return found.end()
