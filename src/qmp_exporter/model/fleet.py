"""All VMs, each under a name that no other has.

Only a live VM holds a name. One whose process is gone gives it up at once, and the next holder
continues its counters.
"""

from __future__ import annotations

from math import inf, nextafter
from typing import TYPE_CHECKING, Final
from zlib import crc32

import msgspec

from qmp_exporter.catalog.text import MAX_BYTES, label_text
from qmp_exporter.model.apply import apply
from qmp_exporter.model.clock import Clock
from qmp_exporter.model.inputs import Identity, Input, Link
from qmp_exporter.model.vm import VM, Step


if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmp_exporter.catalog.states import TargetState
    from qmp_exporter.model.target import Target


_NO_UUID: Final = "00000000"


class Fed(msgspec.Struct, frozen=True, gc=False):
    """What an input meant for the fleet.

    Attributes:
        name: the VM's name from now on.
        before: the VM before the input.
        step: what the input made of it.
        renames: names that changed, as old and new, in the order in which to change them.
    """

    name: str
    before: VM
    step: Step
    renames: tuple[tuple[str, str], ...] = ()


class Expired(msgspec.Struct, frozen=True):
    """What a fleet let go.

    Attributes:
        names: to forget.
        left: addresses that are not of the fleet any more, with the state of their monitors.
        early: how many had to go before their time.
        anew: names of targets that stay, as ones never reached, with what is known of those.
    """

    names: tuple[str, ...]
    left: tuple[tuple[str, TargetState], ...]
    early: int
    anew: tuple[tuple[str, VM], ...] = ()


NOTHING_EXPIRED: Final = Expired((), (), 0)


class Member(msgspec.Struct):
    """A target of the fleet.

    Attributes:
        target: the monitor.
        vm: what is known of the VM.
        name: what it is shown as; empty once another VM has taken its name.
        ended_at: monotonic seconds at which its process was known to be gone.
    """

    target: Target
    vm: VM
    name: str
    ended_at: float | None = None

    @property
    def holds(self) -> bool:
        """Whether its name is its own: it lives, or was never reached."""
        return not self.vm.ended


class Fleet:
    """The VMs by the address of their monitor."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._by_name: dict[str, Member] = {}
        self._retired: list[Member] = []  # another VM has their monitor
        self._ended = False  # whether any VM may have

    def __iter__(self) -> Iterator[Member]:
        """Return those that have a name, as of one moment, for any thread."""
        return iter([m for m in (*self._members.values(), *self._retired) if m.name])

    def __len__(self) -> int:
        return len(self._members)

    def add(self, target: Target) -> str:
        """Take in a target, and return the name that its VM has until it is reached."""
        member = Member(target, VM(), "")
        self._members[target.address] = member
        self._name(member, target.name or target.stem, None)
        return member.name

    def name(self, address: str) -> str:
        """Return the name of the VM at ``address``."""
        return self._members[address].name

    def named(self, name: str) -> Member | None:
        """Return the member of that name, if there is one, for any thread."""
        return self._by_name.get(name)

    def vm(self, address: str) -> VM:
        """Return what is known of the VM at ``address``."""
        return self._members[address].vm

    def feed(self, address: str, given: Input) -> Fed:
        """Apply an input to the VM at ``address``, which was added before."""
        member = self._members[address]
        renames: tuple[tuple[str, str], ...] = ()
        if isinstance(given, Link) and given.identity is not None and not member.vm.watched:
            known = member.vm.identity if member.vm.alive else None
            identity = given.identity.completed(known)
            given = msgspec.structs.replace(given, identity=identity)
            renames = self._identify(member, identity)
        before = member.vm
        step = apply(before, given)
        member.vm = step.vm
        if not member.vm.ended:
            member.ended_at = None
        elif member.ended_at is None:
            member.ended_at = given.now
            self._ended = True
        return Fed(member.name, before, step, renames)

    def expire(self, deadline: float, most: int) -> Expired:
        """Drop what ended before ``deadline`` in monotonic seconds, and all but the last ``most``.

        A target that was named stays in the fleet, as one never reached.
        """
        if not self._ended:
            return NOTHING_EXPIRED
        early = 0
        everybody = (*self._members.values(), *self._retired)
        ended = sorted(m.ended_at for m in everybody if m.ended_at is not None)
        self._ended = bool(ended)
        if len(ended) > most:
            last = ended[-most - 1]
            early = sum(at >= deadline for at in ended[:-most])
            deadline = max(deadline, nextafter(last, inf))
        forgotten: list[str] = []
        anew: list[tuple[str, VM]] = []
        left: list[tuple[str, TargetState]] = []
        for member in [m for m in self._retired if _before(m, deadline)]:
            self._retired.remove(member)
            forgotten.extend(self._nameless(member))
        for address, member in list(self._members.items()):
            if not _before(member, deadline):
                continue
            name, state = member.name, member.vm.target
            forgotten.extend(self._nameless(member))
            if member.target.named:
                member.vm, member.ended_at = VM(target=state), None
                self._name(member, name or member.target.name or member.target.stem, None)
                anew.append((member.name, member.vm))
            else:
                del self._members[address]
                left.append((address, state))
        return Expired(tuple(forgotten), tuple(left), early, tuple(anew))

    def leave(self, address: str) -> str | None:
        """Drop a target that was never reached, and return its name; none if it was reached."""
        member = self._members[address]
        if member.vm.identity is not None:
            return None
        del self._members[address], self._by_name[member.name]
        return member.name

    def drop(self, address: str) -> tuple[str, ...]:
        """Drop a target, whatever is known of its VM; return the names to forget."""
        return self._nameless(self._members.pop(address))

    def retarget(self, target: Target) -> None:
        """Let the VM at an address have another name or other labels, when it is reached next."""
        self._members[target.address].target = target

    def _nameless(self, member: Member) -> tuple[str, ...]:
        """Take its name, if it has one, from a member; return that."""
        name, member.name = member.name, ""
        if not name:
            return ()
        del self._by_name[name]
        return (name,)

    def _identify(self, member: Member, identity: Identity) -> tuple[tuple[str, str], ...]:
        """Give a VM that was reached the name that it is to have."""
        wanted = _wanted(member.target, identity)
        known = member.vm.identity
        if member.vm.ended and known is not None and wanted != _wanted(member.target, known):
            self._retire(member)
        old = member.name
        if old:
            del self._by_name[old]
        renames = self._name(member, wanted, identity)
        if old and old != member.name:
            renames = (*renames, (old, member.name))
        return renames

    def _retire(self, member: Member) -> None:
        """Let a VM that ended keep its name and grace, now that another has its monitor."""
        if member.name:
            retired = Member(member.target, member.vm, member.name, member.ended_at)
            self._retired.append(retired)
            self._by_name[member.name] = retired
        member.vm, member.name, member.ended_at = VM(target=member.vm.target), "", None

    def _name(
        self, member: Member, wanted: str, identity: Identity | None, taken: str = ""
    ) -> tuple[tuple[str, str], ...]:
        """Name ``member`` as near to ``wanted`` as can be, and return who had to make room.

        Who makes room cannot have ``taken``, which is shown until all renames are done.
        """
        renames: tuple[tuple[str, str], ...] = ()
        names = _names(wanted, member.target, identity)
        name = next(n for n in names if n != taken and self._may_be_had(n, identity))
        holder = self._by_name.get(name)
        if holder is not None and holder.holds:
            room = self._name(holder, holder.target.stem, None, member.name)
            renames = (*room, (name, holder.name))
        elif holder is not None:
            member.vm = _continued(member.vm, holder.vm)
            holder.name = ""
        member.name = name
        self._by_name[name] = member
        return renames

    def _may_be_had(self, name: str, identity: Identity | None) -> bool:
        """Whether a name is free, or its holder has to give it up."""
        holder = self._by_name.get(name)
        if holder is None or not holder.holds:
            return True
        # A name guessed from a socket makes room for one that QEMU tells.
        return identity is not None and holder.vm.identity is None


def _before(member: Member, deadline: float) -> bool:
    return member.ended_at is not None and member.ended_at < deadline


def _wanted(target: Target, identity: Identity) -> str:
    return target.name or identity.name or target.stem


def _names(wanted: str, target: Target, identity: Identity | None) -> Iterator[str]:
    """Yield the names to try, the best first; the last cannot be taken."""
    wanted = label_text(wanted)
    yield wanted
    short = wanted.encode()[: MAX_BYTES - 40].decode("utf-8", "ignore")
    if identity is not None:
        uuid = identity.uuid[:8]
        if uuid and uuid != _NO_UUID:
            yield label_text(f"{short}~{uuid}")
        yield label_text(f"{short}~{target.stem}")
        if identity.pid is not None:
            yield f"{short}~{identity.pid}"
    number = crc32(target.address.encode("utf-8", "surrogatepass"))
    while True:
        yield f"{short}~{number:08x}"
        number += 1


def _continued(vm: VM, ended: VM) -> VM:
    """Return the VM with the seconds counted under its name before."""
    clocks = tuple(
        Clock(new.total + old.total, new.since)
        for new, old in zip(vm.stops.clocks, ended.stops.clocks, strict=True)
    )
    unobserved = Clock(vm.unobserved.total + ended.unobserved.total, vm.unobserved.since)
    stops = msgspec.structs.replace(vm.stops, clocks=clocks)
    return msgspec.structs.replace(vm, stops=stops, unobserved=unobserved)
