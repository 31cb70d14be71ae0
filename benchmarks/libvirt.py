"""Beside prometheus-libvirt-exporter: both scrape the same idle VMs, which libvirt runs.

libvirt runs as a user without privileges, in folders of its own, so that the one of the system is
not touched. Its exporter is the one of Debian 12; where it is not installed it is unpacked into
the cache.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.exporter import exporter, first, free, get
from benchmarks.processes import REPOSITORY, BenchError, beside, child, cpu, measured
from benchmarks.report import Result, Row, Table
from qmp_exporter.demo import find_qemu
from qmp_exporter.demo.command import halt_rom


if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench


VMS: Final = 100
SCRAPES: Final = 100
SUITE: Final = "bookworm"
PACKAGE: Final = "prometheus-libvirt-exporter"
URI: Final = "qemu:///session"
USER: Final = "nobody"
GROUP: Final = "nogroup"
START: Final = 30.0
NAP: Final = 0.1
SETTLED: Final = 5.0
"""Seconds after the last start until the VMs are taken to be idle."""

OURS: Final = "qmp-exporter"
THEIRS: Final = "prometheus-libvirt-exporter"
HOW: Final = (
    "{vms} real QEMUs of libvirt with one disk, whose CPU has halted; {scrapes} scrapes, one after"
    " the other, of one exporter and then of the other. The two tell different things: theirs asks"
    " libvirt at each scrape, ours answers from what events told."
)
DOMAIN: Final = """<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
<name>{name}</name>
<memory unit='MiB'>64</memory>
<os>
<type arch='x86_64' machine='pc'>hvm</type>
<loader type='rom'>{folder}/halt.rom</loader>
</os>
<devices>
<emulator>{qemu}</emulator>
<disk type='file' device='disk'>
<driver name='qemu' type='raw'/>
<source file='{folder}/{name}.img'/>
<target dev='hda' bus='ide'/>
</disk>
</devices>
<qemu:commandline>
<qemu:arg value='-qmp'/>
<qemu:arg value='unix:{folder}/{name}.qmp,server=on,wait=off'/>
</qemu:commandline>
</domain>
"""

Values = dict[str, list[float]]


class Libvirt:
    """A libvirt of its own.

    Attributes:
        folder: of everything.
        daemon: its process id.
    """

    def __init__(self, folder: Path, virsh: str) -> None:
        self.folder = folder
        self.daemon = 0
        self._virsh = virsh

    @property
    def env(self) -> dict[str, str]:
        """Variables of whoever uses it."""
        return {
            "HOME": str(self.folder),
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }

    def virsh(self, commands: list[str]) -> str:
        """Run commands, and return what they said.

        Raises:
            BenchError: one failed.
        """
        words = [*unprivileged(), self._virsh, "-q", "-c", URI, ";".join(commands)]
        done = subprocess.run(  # noqa: S603 - the commands are ours
            words, env=os.environ | self.env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchError(f"virsh: {done.stderr[-1000:]}")
        return done.stdout

    def qemus(self) -> list[int]:
        """The process ids of all VMs."""
        files = (self.folder / "run/libvirt/qemu/run").glob("vm-*.pid")
        return [int(file.read_text()) for file in files]


def unprivileged() -> tuple[str, ...]:
    """What runs a program as somebody without privileges, where we have them."""
    if os.geteuid() != 0:
        return ()
    ids = ("setpriv", "--reuid", USER, "--regid", GROUP, "--clear-groups")
    # The kernel forgets what `child` asked for when the user changes.
    return (*ids, "setpriv", "--pdeathsig", "KILL")


@contextmanager
def libvirt(place: Path, number: int) -> Iterator[Libvirt]:
    """Run libvirt with so many VMs."""
    os.chmod(place, 0o755)  # noqa: PTH101, S103 - QEMU is another user
    folder = place / "libvirt"
    folder.mkdir()
    (folder / "run").mkdir()
    (folder / "halt.rom").write_bytes(halt_rom())
    found = Libvirt(folder, needed("virsh"))
    names = [f"vm-{index}" for index in range(number)]
    for name in names:
        (folder / f"{name}.img").write_bytes(bytes(1 << 20))
        text = DOMAIN.format(name=name, folder=folder, qemu=find_qemu())
        (folder / f"{name}.xml").write_text(text)
    if unprivileged():
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, USER, GROUP)
    words = (*unprivileged(), needed("libvirtd"))
    log = place / "libvirtd.log"
    with child(*words, log=log, core=beside(), speaks=False, env=found.env) as daemon:
        ends = time.monotonic() + START
        while not (folder / "run/libvirt/libvirt-sock").exists():
            if time.monotonic() > ends:
                raise BenchError(f"libvirtd did not start: {daemon.log()}")
            time.sleep(NAP)
        found.daemon = daemon.pid
        try:
            found.virsh([f"create {folder}/{name}.xml" for name in names])
            time.sleep(SETTLED)
            yield found
        finally:
            running = found.virsh(["list --name"]).split()
            if running:
                found.virsh([f"destroy {name}" for name in running])


def installed(program: str) -> str | None:
    """Return the path of a program, which users may not have on theirs."""
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")


def needed(program: str) -> str:
    """Return the path of a program that is installed."""
    found = installed(program)
    if found is None:
        raise BenchError(f"{program} is missing")
    return found


def missing() -> list[str]:
    """Return what this group wants and is not installed."""
    found = [name for name in ("virsh", "libvirtd", "apt-get") if not installed(name)]
    return found if find_qemu() else [*found, "qemu-system-x86_64"]


def theirs() -> str:
    """Return the path of their exporter, which is unpacked into the cache where it is missing."""
    if found := installed(PACKAGE):
        return found
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "qmp-exporter/libvirt-exporter"
    if not folder.exists():
        unpack = REPOSITORY / "scripts/unpack"
        subprocess.run([unpack, folder, SUITE, PACKAGE], check=True)  # noqa: S603 - a script of ours
    return str(folder / "usr/bin" / PACKAGE)


def scrapes(port: int, number: int, values: Values, who: str, pids: dict[str, list[int]]) -> None:
    """Scrape so often, and add the seconds of a scrape and the CPU time of each process for it."""
    before = {what: sum(map(cpu, these)) for what, these in pids.items()}
    values[who].append(median(get(port).seconds for _ in range(number)) * 1000)
    for what, these in pids.items():
        spent = sum(map(cpu, these)) - before[what]
        values[f"{who}: CPU time of {what} for a scrape"].append(spent / number * 1000)


def measure(bench: Bench, place: Path, machines: Libvirt, seconds: Values, samples: Values) -> None:
    """Add a round."""
    vms, number = bench.size(VMS), bench.size(SCRAPES)
    qemus = machines.qemus()
    if len(qemus) != vms:
        raise BenchError(f"found {len(qemus)} QEMUs, expected {vms}")
    with exporter(place, "--qmp.socket", f"{machines.folder}/*.qmp") as subject:
        subject.until("qemu_up", vms)
        samples[OURS].append(subject.get().samples)
        pids = {"the exporter": [subject.child.pid], "all QEMUs": qemus}
        scrapes(subject.port, number, seconds, OURS, pids)
    with ExitStack() as stack:
        port = free()
        words: tuple[str | Path, ...] = (*unprivileged(), machines.folder / PACKAGE)
        flags = ("--libvirt.uri", URI, "--web.listen-address", f"127.0.0.1:{port}")
        log, env = place / "theirs.log", machines.env
        other = stack.enter_context(
            child(*words, *flags, log=log, core=measured(), speaks=False, env=env)
        )
        page = first(port)
        if (found := page.total("libvirt_domains_number")) != vms:
            raise BenchError(f"{THEIRS}: found {found:,.0f} VMs, expected {vms}")
        samples[THEIRS].append(page.samples)
        pids = {"the exporter": [other.pid], "libvirtd": [machines.daemon], "all QEMUs": qemus}
        scrapes(port, number, seconds, THEIRS, pids)


def run(bench: Bench) -> Result:
    """Measure both, in turns."""
    if found := missing():
        return Result("libvirt", (), skipped=(f"all: {', '.join(found)} missing",))
    seconds: Values = defaultdict(list)
    samples: Values = defaultdict(list)
    vms, number = bench.size(VMS), bench.size(SCRAPES)
    with bench.folder() as place, libvirt(place, vms) as machines:
        # Its user may not enter the cache.
        shutil.copy(theirs(), machines.folder)
        for _ in range(bench.rounds):
            measure(bench, place, machines, seconds, samples)
    compared = [Row(who, "ms", tuple(seconds.pop(who))) for who in (OURS, THEIRS)]
    rows = [Row(what, "ms", tuple(found)) for what, found in seconds.items()]
    how = HOW.format(vms=vms, scrapes=number)
    rows += [Row(f"{who}: samples", "", tuple(found)) for who, found in samples.items()]
    tables = (
        Table(f"A scrape of {vms} idle VMs of libvirt", how, tuple(compared), OURS),
        Table("What it costs", "CPU time of all that take part.", tuple(rows)),
    )
    return Result("libvirt", tables)
