"""What only tests need of the lab; all else of it is `qmp_exporter.demo`, which the demo uses, too.

A scenario is a test: what happens, which events QEMU sends, what the scraped page reads.

    @shows("BALLOON_CHANGE")
    async def test_balloon(place: Path) -> None:
        async with scenario(place, *devices.BALLOON) as vm:
            await devices.set_balloon_actual(vm.machine, 4096)
            await vm.hears("BALLOON_CHANGE")
            await vm.reads("qemu_balloon_actual_bytes", 48 << 20)

A test that shows an event fails unless a page counted it. One that does not hold on every QEMU says
on which it does, and why: ``@on_qemu(before=(9, 1), why="...")``. The environment variable QEMU
names the QEMU that is tested with.

========== ================================================================================
scenario   machines that a witness hears and the exporter watches; both ends of a migration
generation the QEMU that is tested with: `shows`, `on_qemu`, its version
results    runs all scenarios on several QEMUs and keeps what came of it (scripts/qemus)
servers    what QEMU's servers for screens need: ports, certificates, arguments
vnc        VNC clients with a password and over TLS; `demo.rfb` is one without either
spice      a SPICE client, with a password, over TCP and TLS
power      what a guest does to its power management
========== ================================================================================

The exporter over machines, and its page as a test reads it, is `e2e.page`. The witness, a client
that shares no code with the exporter, is `witness`.
"""
