"""What virt-launcher does with a hook, with messages that are written by hand.

From the fields that the .proto files of KubeVirt v1.7.0 name: pkg/hooks/info/api_info.proto and
pkg/hooks/v1alpha3/api_v1alpha3.proto.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import aiohttp
import grpc.aio
import msgspec

from integration.exporter import Page


if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

PATIENCE = 20.0
ARGUMENTS = (
    "./{http://libvirt.org/schemas/domain/qemu/1.0}commandline"
    "/{http://libvirt.org/schemas/domain/qemu/1.0}arg"
)
DOMAIN = b"""<domain type="qemu" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
\t<name>default_web</name>
\t<memory unit="MB">64</memory>
\t<os>
\t\t<type arch="x86_64" machine="pc">hvm</type>
\t</os>
\t<devices></devices>
</domain>"""
VMI = b'{"metadata":{"name":"web","namespace":"default"}}'


class Sidecar(msgspec.Struct):
    """A hook that runs.

    Attributes:
        process: of the exporter.
        url: of its HTTP side.
        channel: to its hook.
        log: the lines that it has written.
    """

    process: Process
    url: str
    channel: grpc.aio.Channel
    log: list[str]

    async def call(self, method: str, message: bytes = b"") -> bytes:
        """Call a method, as bytes."""
        answer: bytes = await self.channel.unary_unary(f"/kubevirt.hooks.{method}")(message)
        return answer

    async def define(self, xml: bytes = DOMAIN, version: str = "v1alpha3") -> bytes:
        """Return what becomes of a domain: domainXML = 1 and vmi = 2, to domainXML = 1."""
        message = b"\x0a" + varint(len(xml)) + xml + b"\x12" + varint(len(VMI)) + VMI
        answer = await self.call(f"{version}.Callbacks/OnDefineDomain", message)
        head = re.match(rb"\x0a[\x80-\xff]*[\x00-\x7f]", answer)
        assert head
        changed = answer[head.end() :]
        assert head[0] == b"\x0a" + varint(len(changed))
        return changed

    async def page(self) -> Page:
        """Scrape it."""
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"{self.url}/metrics") as response,
        ):
            return Page(await response.text())

    async def until(self, reached: Callable[[Page], object]) -> Page:
        """Scrape until a page says something."""
        async with asyncio.timeout(PATIENCE):
            while not reached(page := await self.page()):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        return page

    async def until_said(self, text: str) -> None:
        """Wait for a line of the log."""
        async with asyncio.timeout(PATIENCE):
            while not any(text in line for line in self.log):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.02)

    async def end(self) -> int:
        """Wait for its end; return its exit status."""
        return await asyncio.wait_for(self.process.wait(), PATIENCE)


@asynccontextmanager
async def sidecar(directory: Path, *arguments: str, container: str = "") -> AsyncIterator[Sidecar]:
    """Run the exporter as a hook in a directory, until the test is over."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "qmp_exporter", "kubevirt-hook"),
        *("--hook.socket-dir", f"{directory}", "--web.listen-address", "127.0.0.1:0"),
        *arguments,
        stderr=subprocess.PIPE,
        env=os.environ | {"CONTAINER_NAME": container},
    )
    assert process.stderr is not None
    lines: list[str] = []
    reading = asyncio.create_task(read(process.stderr, lines))
    # As virt-launcher has it: pkg/util/net/grpc/grpc.go.
    options = (("grpc.default_authority", "localhost"), ("grpc.max_receive_message_length", -1))
    channel = grpc.aio.insecure_channel(f"unix:{directory}/qmp-exporter.sock", options)
    try:
        found = Sidecar(process, "", channel, lines)
        await found.until_said("virt-launcher may call the hook")
        url = re.search(r"listens on (http://[0-9.:]+)", "".join(lines))
        assert url
        found.url = url[1]
        yield found
    finally:
        await channel.close()
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


async def read(stream: asyncio.StreamReader, lines: list[str]) -> None:
    """Read lines until there are no more."""
    async for line in stream:
        lines.append(line.decode())  # noqa: PERF401 - each as it comes


def varint(number: int) -> bytes:
    """A number as protocol buffers have it."""
    made = []
    while number >= 128:
        made.append(number % 128 + 128)
        number //= 128
    return bytes([*made, number])


def given_to_qemu(xml: bytes) -> list[str]:
    """The arguments that libvirt would pass on."""
    found = ET.fromstring(xml).findall(ARGUMENTS)  # noqa: S314 - it is ours
    return [element.attrib["value"] for element in found]
