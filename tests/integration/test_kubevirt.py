"""The exporter as a hook sidecar: a process that is called as virt-launcher calls it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest

from integration.launcher import DOMAIN, PATIENCE, given_to_qemu, sidecar
from qmp_exporter.demo import Machine, find_qemu
from support import missing


if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.exporter import Page

# InfoResult: name = 1, hookPoints = 3 (name = 1, priority = 2, of 32 bits, -1000), versions = 4.
INFO = (
    b"\x0a\x0cqmp-exporter"
    b"\x1a\x1b\x0a\x0eOnDefineDomain\x10\x98\xf8\xff\xff\xff\xff\xff\xff\xff\x01"
    b"\x1a\x0c\x0a\x08Shutdown\x10\x00"
    b"\x22\x08v1alpha3\x22\x08v1alpha2\x22\x08v1alpha1"
)


@pytest.fixture
def hooks() -> Iterator[Path]:
    """A directory of hooks, of a short name, in which that of the first sidecar is itself.

    As for KubeVirt 1.6, where the container of QEMU sees by the second path what the sidecar sees
    by the first one.
    """
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "hook-sidecar-0").symlink_to(".")
        yield Path(name)


@pytest.mark.parametrize("container", ["", "hook-sidecar-0"])
async def test_a_machine_of_kubevirt_is_watched(hooks: Path, container: str) -> None:
    """From Info to Shutdown: QEMU gets the monitor, its events are on the page, the exporter ends.

    Up to KubeVirt 1.5 and from 1.6 on, which differ in the path that QEMU is given.
    """
    if find_qemu() is None:
        missing("there is no QEMU")
    async with sidecar(hooks, container=container) as found:
        assert await found.call("info.Info/Info") == INFO
        assert (await found.page()).vms() == set()
        arguments = given_to_qemu(await found.define())
        path = hooks / container / "qmp-exporter.qmp"
        assert arguments == ["-qmp", f"unix:{path},server=on,wait=off"]
        await found.until(lambda page: page["qemu_up", {"vm": "default_web"}] == 0)
        async with Machine(hooks, "default_web", *arguments) as machine:
            await found.until(lambda page: page["qemu_up", {"vm": "default_web"}])
            await machine.execute("stop")
            series = ("qemu_vm_stops_total", {"vm": "default_web", "cause": "host"})
            page = await found.until(lambda page: page[series])
            assert page.vms() == {"default_web"}
            assert page["qemu_events_total", {"vm": "default_web", "event": "STOP"}] == 1
            assert page["qemu_vm_info", info(hooks, page)] == 1
            await machine.quit()
            await found.until(lambda page: page["qemu_up", {"vm": "default_web"}] == 0)
            assert await found.call("v1alpha3.Callbacks/Shutdown") == b""
        assert await found.end() == 0
    assert not any("level=error" in line or "Traceback" in line for line in found.log)
    assert not (hooks / "qmp-exporter.sock").exists()


def info(hooks: Path, page: Page) -> dict[str, str]:
    """The labels of the machine, of which the monitor is seen from the exporter."""
    ((name, pairs),) = [key for key in page.samples if key[0] == "qemu_vm_info"]
    assert name == "qemu_vm_info"
    return dict(pairs) | {"name": "default_web", "monitor": f"{hooks}/qmp-exporter.qmp"}


@pytest.mark.parametrize("version", ["v1alpha1", "v1alpha2", "v1alpha3"])
async def test_every_version_defines_the_same(hooks: Path, version: str) -> None:
    """And a second time changes nothing."""
    async with sidecar(hooks) as found:
        once = await found.define(version=version)
        assert len(given_to_qemu(once)) == 2
        assert await found.define(once, version) == once
        with pytest.raises(grpc.aio.AioRpcError) as caught:  # it is not announced
            await found.call(f"{version}.Callbacks/PreCloudInitIso")
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        (b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><domain>&x;</domain>', "type"),
        (b"<domain", "no XML"),
        (b"", "no XML"),
        (b"<network/>", "expected domain"),
        (DOMAIN + b" " * 10_000_000, "10000"),
    ],
)
async def test_what_cannot_be_changed_comes_back_as_it_was(
    hooks: Path, xml: bytes, says: str
) -> None:
    """No error, with which the machine would not start, but one in the log; the hook goes on."""
    async with sidecar(hooks) as found:
        assert await found.define(xml) == xml
        await found.until_said("the domain stays as it is, and is not watched")
        (line,) = [line for line in found.log if "level=error" in line]
        assert says in line
        assert await found.call("info.Info/Info") == INFO
        assert len(given_to_qemu(await found.define())) == 2
        assert found.process.returncode is None


async def test_a_message_that_is_none_is_refused(hooks: Path) -> None:
    """There is no document to give back; the hook goes on."""
    async with sidecar(hooks) as found:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await found.call("v1alpha3.Callbacks/OnDefineDomain", b"\x0a\x7f<domain/>")
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert len(given_to_qemu(await found.define())) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_a_hook_without_a_machine(hooks: Path, number: int) -> None:
    """At once, and in order."""
    async with sidecar(hooks) as found:
        await found.define()
        found.process.send_signal(number)
        assert await found.end() == 0
    assert not (hooks / "qmp-exporter.sock").exists()
    assert not any("Traceback" in line for line in found.log)


@pytest.mark.parametrize("how", ["Shutdown", "the end of QEMU", "a second signal"])
async def test_the_end_of_the_machine_is_waited_for(hooks: Path, how: str) -> None:
    """SIGTERM comes to all containers at once, and the guest is only then shut down."""
    if find_qemu() is None:
        missing("there is no QEMU")
    async with sidecar(hooks, "--log.events") as found:
        arguments = given_to_qemu(await found.define())
        async with Machine(hooks, "default_web", *arguments) as machine:
            await found.until(lambda page: page["qemu_up", {"vm": "default_web"}])
            found.process.terminate()
            await found.until_said("QEMU is still there")
            await machine.execute("stop")
            series = ("qemu_vm_stops_total", {"vm": "default_web", "cause": "host"})
            await found.until(lambda page: page[series])
            if how == "Shutdown":
                await found.call("v1alpha3.Callbacks/Shutdown")
            elif how == "the end of QEMU":
                await machine.quit()
            else:
                found.process.terminate()
            assert await found.end() == 0


def tried(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command until its end."""
    code = f"import sys; {code}from qmp_exporter.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, "kubevirt-hook", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=os.environ | {"CONTAINER_NAME": ""},
    )


def test_without_the_extra_it_says_so(hooks: Path) -> None:
    """In one line, with exit status 2."""
    found = tried("--hook.socket-dir", f"{hooks}", code="sys.modules['grpc'] = None; ")
    assert found.returncode == 2
    assert found.stderr == (
        "qmp-exporter: kubevirt-hook takes the extra kubevirt:"
        " pip install 'qmp-exporter[kubevirt]'\n"
    )


def test_outside_of_a_pod_it_says_so() -> None:
    """In one line, with exit status 2."""
    found = tried("--hook.socket-dir", "/no/such")
    assert found.returncode == 2
    (line,) = found.stderr.splitlines()
    assert line.startswith("qmp-exporter: --hook.socket-dir: found no directory /no/such; expected")


def test_a_socket_that_cannot_be_made_is_an_error(hooks: Path) -> None:
    """With its path, and exit status 1."""
    (hooks / "qmp-exporter.sock").mkdir()
    found = tried("--hook.socket-dir", f"{hooks}", "--web.listen-address", "127.0.0.1:0")
    assert found.returncode == 1
    last = found.stderr.splitlines()[-1]
    assert last == f"qmp-exporter: {hooks}/qmp-exporter.sock: cannot listen there for virt-launcher"
    assert "Traceback" not in found.stderr


def test_an_address_that_cannot_be_had_is_an_error(hooks: Path) -> None:
    """As without the subcommand; there is no hook then."""
    found = tried("--hook.socket-dir", f"{hooks}", "--web.listen-address", "unix:/no/such/socket")
    assert found.returncode == 1
    (line,) = found.stderr.splitlines()
    assert line.startswith("qmp-exporter: ")
    assert "/no/such/socket" in line


def test_what_is_set_is_shown(hooks: Path) -> None:
    """--config.check works as without the subcommand, and needs no monitor."""
    found = tried("--hook.socket-dir", f"{hooks}", "--config.check")
    assert found.returncode == 0
    assert "telemetry_path: /metrics" in found.stdout


def test_no_other_command_loads_grpc() -> None:
    """Which takes memory and time."""
    code = "import sys, qmp_exporter.cli, qmp_exporter.app; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "qmp_exporter.cli" in found.stdout.split()
    assert {"grpc", "qmp_exporter.kubevirt.hook"}.isdisjoint(found.stdout.split())


def argv_of_libvirt(xml: bytes) -> subprocess.CompletedProcess[str]:
    """Let libvirt make the command line of QEMU.

    As nobody, since libvirt wants a user of its own where root runs it, and with its driver for
    QEMU in the program (qemu:///embed), which takes no daemon.
    """
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "domain.xml"
        file.write_bytes(xml)
        if os.geteuid() == 0:
            os.chown(name, 65534, 65534)
        return subprocess.run(
            [
                *(nobody if os.geteuid() == 0 else ()),
                *("virsh", "-c", f"qemu:///embed?root={name}/root"),
                *("domxml-to-native", "qemu-argv", "--xml", f"{file}"),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={"HOME": name, "XDG_RUNTIME_DIR": name, "PATH": os.environ["PATH"]},
        )


async def test_libvirt_passes_the_arguments_on(hooks: Path) -> None:
    """What the hook answers is to libvirt a domain whose QEMU has the monitor."""
    if shutil.which("virsh") is None:  # not even where CI is true: nothing else needs it
        pytest.skip("no virsh; packages libvirt-clients and libvirt-daemon-driver-qemu")
    async with sidecar(hooks, container="hook-sidecar-0") as found:
        xml = await found.define()
    result = await asyncio.to_thread(argv_of_libvirt, xml)
    if "failed to connect to the hypervisor" in result.stderr:
        pytest.skip(f"libvirt has no driver for QEMU here: {result.stderr.strip()[-300:]}")
    assert result.returncode == 0, result.stderr
    path = f"{hooks}/hook-sidecar-0/qmp-exporter.qmp"
    assert f" -qmp unix:{path},server=on,wait=off " in result.stdout
