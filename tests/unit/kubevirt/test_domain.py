"""The change of a domain's XML: what comes in, what stays, and what is refused."""

from __future__ import annotations

import re
import time
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmp_exporter.errors import DomainError
from qmp_exporter.kubevirt.domain import (
    DEEPEST,
    LARGEST,
    NAMESPACE,
    monitor,
    name_of,
    with_monitor,
)


PATH = "/var/run/kubevirt-hooks/hook-sidecar-0/qmp-exporter.qmp"
ARGUMENTS = ("-qmp", f"unix:{PATH},server=on,wait=off")

# As Go's encoding/xml writes what virt-launcher has, xmlns:qemu included.
PLAIN = f"""<domain type="kvm" xmlns:qemu="{NAMESPACE}">
\t<name>default_web</name>
\t<memory unit="MB">64</memory>
\t<os>
\t\t<type arch="x86_64" machine="q35">hvm</type>
\t</os>
\t<devices></devices>
\t<metadata>
\t\t<kubevirt xmlns="http://kubevirt.io"><uid>1</uid></kubevirt>
\t</metadata>
</domain>""".encode()

EXISTING = PLAIN.replace(
    b"\t<metadata>",
    b'\t<qemu:commandline>\n\t\t<qemu:arg value="-fw_cfg"/>\n\t\t<qemu:arg value="name=x,'
    b'file=/y"/>\n\t\t<qemu:env name="A" value="B"/>\n\t</qemu:commandline>\n\t<metadata>',
)


def arguments(xml: bytes) -> list[str]:
    """What libvirt passes to QEMU, read by another parser and as libvirt finds it."""
    root = ET.fromstring(xml)  # noqa: S314 - it is ours
    found = root.findall(f"./{{{NAMESPACE}}}commandline/{{{NAMESPACE}}}arg")
    return [element.attrib["value"] for element in found]


def test_a_domain_gets_a_monitor_and_keeps_every_byte() -> None:
    """One line before the end of the domain; the rest is what it was."""
    changed = with_monitor(PLAIN, PATH)
    assert arguments(changed) == list(ARGUMENTS)
    added = (
        f'\t<qemu:commandline xmlns:qemu="{NAMESPACE}"><qemu:arg value="-qmp"/>'
        f'<qemu:arg value="{ARGUMENTS[1]}"/></qemu:commandline>\n'
    ).encode()
    assert changed == PLAIN.removesuffix(b"</domain>") + added + b"</domain>"


def test_arguments_that_are_there_stay_and_come_after() -> None:
    """Those of an element that is there are kept, in it, in their order."""
    changed = with_monitor(EXISTING, PATH)
    assert arguments(changed) == [*ARGUMENTS, "-fw_cfg", "name=x,file=/y"]
    assert changed.count(b"<qemu:commandline") == 1
    assert b'<qemu:env name="A" value="B"/>' in changed


@pytest.mark.parametrize("xml", [PLAIN, EXISTING])
def test_a_second_time_changes_nothing(xml: bytes) -> None:
    """Virt-launcher calls again, and a document with the monitor comes back as it is."""
    once = with_monitor(xml, PATH)
    assert with_monitor(once, PATH) == once


def test_another_monitor_is_somebody_elses() -> None:
    """A -qmp that is there does not stand for ours, and stays."""
    other = PLAIN.replace(
        b"</domain>",
        b'<qemu:commandline><qemu:arg value="-qmp"/><qemu:arg value="unix:/o,server=on,wait=off"/>'
        b"</qemu:commandline></domain>",
    )
    assert arguments(with_monitor(other, PATH)) == [
        *ARGUMENTS,
        "-qmp",
        "unix:/o,server=on,wait=off",
    ]


@pytest.mark.parametrize(
    "commandline",
    [
        f'<qemu:commandline xmlns:qemu="{NAMESPACE}"/>',
        f'<q:commandline xmlns:q="{NAMESPACE}" />',
        f'<commandline xmlns="{NAMESPACE}"/>',
        f"<commandline xmlns='{NAMESPACE}'></commandline>",
        f'<commandline  a="/>" b=\'">\' xmlns="{NAMESPACE}"\n/>',
        (
            f'<a:commandline xmlns:b="{NAMESPACE}" xmlns:a="{NAMESPACE}"><b:arg value="-x"/>'
            "</a:commandline>"
        ),
    ],
)
def test_the_element_is_known_by_its_namespace(commandline: str) -> None:
    """Whatever its prefix, and whether it is empty."""
    changed = with_monitor(f"<domain>{commandline}</domain>".encode(), PATH)
    assert arguments(changed)[:2] == list(ARGUMENTS)
    assert len(ET.fromstring(changed)) == 1  # noqa: S314 - it is ours


@pytest.mark.parametrize(
    "xml",
    [
        b"<domain/>",
        b"<domain type='kvm' a='>'/>",
        b"<domain></domain >\n<!-- after -->\n",
        b"<?xml version='1.0' encoding='UTF-8'?>\n<!-- <domain> --><domain a='\xc3\xa9'></domain>",
        b"\xef\xbb\xbf<domain><name>\xe6\x97\xa5</name></domain>",
        b"<domain><![CDATA[</domain><commandline>]]><!-- </domain> --><?pi </domain>?></domain>",
        (
            b'<domain xmlns:qemu="urn:other"><qemu:commandline><qemu:arg value="-qmp"/>'
            b"</qemu:commandline></domain>"
        ),
        f'<domain><devices><commandline xmlns="{NAMESPACE}"><arg value="-qmp"/><arg value='
        f'"{ARGUMENTS[1]}"/></commandline></devices></domain>'.encode(),
        b"<domain>\r\n<name>a&amp;b&#10;</name>\r\n</domain>\r\n",
    ],
)
def test_what_only_looks_like_it_is_left_alone(xml: bytes) -> None:
    """Comments, CDATA, processing instructions, other namespaces, other places: all survive."""
    changed = with_monitor(xml, PATH)
    assert arguments(changed) == list(ARGUMENTS)
    added = re.search(
        rb"\t?<qemu:commandline xmlns:qemu=\"http[^>]*>.*</qemu:commandline>\n?", changed
    )
    assert added
    rest = changed[: added.start()] + changed[added.end() :]
    assert rest.replace(b"></domain>", b"/>") == xml.replace(b"></domain>", b"/>")


def test_a_path_is_written_for_qemu_and_for_xml() -> None:
    """A comma would end QEMU's value, and quotes that of XML."""
    path = "/a,b&c\"d'e<f>/\u00e9.qmp"
    assert arguments(with_monitor(PLAIN, path)) == list(monitor(path))
    assert monitor(path)[1] == "unix:/a,,b&c\"d'e<f>/\u00e9.qmp,server=on,wait=off"


def test_the_name_of_a_domain_is_that_of_libvirt() -> None:
    """The element below the domain, not one of metadata."""
    assert name_of(PLAIN) == "default_web"
    assert name_of(b"<domain><devices><name>x</name></devices></domain>") == ""
    assert name_of(b"<domain><name> a&amp;<![CDATA[<b>]]></name></domain>") == "a&<b>"


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        (b"", "found no XML: no element found"),
        (b"   ", "found no XML"),
        (b"<domain>", "found no XML"),
        (b"<domain></devices>", "found no XML: mismatched tag"),
        (b"<domain/><domain/>", "found no XML: junk after document element"),
        (b"<domain a='1' a='2'/>", "found no XML: duplicate attribute"),
        (b"<domain><x:y/></domain>", "found no XML: unbound prefix"),
        (b"<domain>&nothing;</domain>", "found no XML: undefined entity"),
        (b"<domainsnapshot/>", "found the element 'domainsnapshot'; expected domain"),
        (b"<d:domain xmlns:d='urn:x'/>", "found the element 'urn:x domain'; expected domain"),
        (f"<x>{PLAIN.decode()}</x>".encode(), "found the element 'x'; expected domain"),
        (
            f'<!DOCTYPE domain [<!ENTITY l0 "lol">{LAUGHS}]><domain>&l9;</domain>'.encode(),
            "found a document type; expected none",
        ),
        (
            b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/hostname">]><domain>&x;</domain>',
            "found a document type; expected none",
        ),
        (b'<!DOCTYPE domain SYSTEM "http://127.0.0.1/x.dtd"><domain/>', "a document type"),
        (b"<domain>" * (DEEPEST + 1) + b"</domain>" * (DEEPEST + 1), "more than 256 elements"),
        (b"<domain>" + b"<a>" * 1_000_000, "more than 256 elements"),
        (PLAIN + b" " * 10_000_000, f"expected at most {LARGEST}"),
        (PLAIN.decode().encode("utf-16"), "found a byte 0; expected UTF-8"),
        (b"<domain>\0</domain>", "found a byte 0"),
        (b"<domain><name>\xe9</name></domain>", "found no XML: not well-formed"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?><domain/>", "the encoding 'ISO-8859-1'"),
        (b"<?xml version='1.0' encoding='utf-7'?><domain/>", "the encoding 'utf-7'"),
        (b"{}", "found no XML"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)
def test_what_is_no_domain_of_kubevirt_is_refused(xml: bytes, says: str) -> None:
    """With one line of what was found, at once, and nothing of an entity is read."""
    began = time.monotonic()
    with pytest.raises(DomainError, match=re.escape(says)) as caught:
        with_monitor(xml, PATH)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 5


def test_a_large_domain_takes_no_minutes() -> None:
    """Of the most bytes that are taken: elements, attributes, quotes."""
    began = time.monotonic()
    for filler in (
        b"<a/>" * 1_900_000,
        b"<a b='>'/>" * 700_000,
        b"<a>" + b"'" * 7_000_000,
    ):
        close = b"</a>" if filler.startswith(b"<a>") else b""
        changed = with_monitor(b"<domain>" + filler + close + b"</domain>", PATH)
        assert changed.endswith(b"</qemu:commandline>\n</domain>")
    many = b"".join(b' a%d=">"' % number for number in range(200_000))
    assert arguments(with_monitor(b"<domain" + many + b"/>", PATH)) == list(ARGUMENTS)
    assert time.monotonic() - began < 30


@given(st.binary(max_size=200) | st.text("<>/domain\"'= !-[]&;?xq:\n", max_size=60))
def test_whatever_comes_there_is_an_answer(found: bytes | str) -> None:
    """Either a document with the monitor, or a refusal: no other error."""
    xml = found if isinstance(found, bytes) else found.encode()
    try:
        changed = with_monitor(xml, PATH)
    except DomainError:
        return
    assert ARGUMENTS in pairwise(arguments(changed))


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), max_size=12
).filter(lambda text: not {"\ufffe", "\uffff"} & set(text))
NAMES = st.sampled_from(["name", "os", "devices", "metadata", "commandline", "arg", "domain"])
SPACES = st.sampled_from(["", NAMESPACE, "urn:other"])


@st.composite
def elements(draw: st.DrawFn, depth: int = 0) -> ET.Element:
    """An element with whatever may be in one."""
    space, name = draw(SPACES), draw(NAMES)
    made = ET.Element(f"{{{space}}}{name}" if space else name)
    made.text = draw(TEXTS)
    for key in draw(st.sets(st.sampled_from(["value", "b", "c"]))):
        made.set(key, draw(TEXTS | st.just("-qmp") | st.just(ARGUMENTS[1])))
    if depth < 3:
        made.extend(draw(st.lists(elements(depth + 1), max_size=3)))
    made.tail = draw(TEXTS)
    return made


@given(st.lists(elements(), max_size=4), TEXTS.filter(lambda text: "/" not in text))
def test_any_domain_keeps_all_else(children: list[ET.Element], name: str) -> None:
    """What another parser reads is what was there and the two arguments, once, twice or more."""
    root = ET.Element("domain")
    root.extend(children)
    xml = ET.tostring(root, "utf-8", xml_declaration=False)
    path = f"/run/{name}.qmp"
    changed = with_monitor(xml, path)
    assert with_monitor(changed, path) == changed
    given_before, given_now = of_any(xml), of_any(changed)
    wanted = list(monitor(path))
    if changed == xml:
        assert tuple(wanted) in pairwise(given_before)
    else:
        # In the first element with arguments, before all of them; or in one of its own.
        assert given_now == [*wanted, *given_before]
        assert len(changed) > len(xml)
        assert subsequence(xml, changed)


def of_any(xml: bytes) -> list[str]:
    """The values of all arguments, also of those without any."""
    root = ET.fromstring(xml)  # noqa: S314 - it is ours
    found = root.findall(f"./{{{NAMESPACE}}}commandline/{{{NAMESPACE}}}arg")
    return [element.get("value", "") for element in found]


def subsequence(short: bytes, long: bytes) -> bool:
    """Whether the one is the other with something left out, but for a tag that had to open."""
    rest = iter(long)
    return all(byte in rest for byte in short if byte != ord("/"))
