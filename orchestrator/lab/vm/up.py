"""Brings a lab of virtual machines up, from states of machines that have booted once."""

from __future__ import annotations

import platform
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace

from orchestrator.errors import Refused
from orchestrator.lab import records
from orchestrator.lab.home import SETUP, Home
from orchestrator.lab.keys import new_key
from orchestrator.lab.layout import LabHost, Layout
from orchestrator.lab.machine import ensure_packages
from orchestrator.lab.progress import Progress
from orchestrator.lab.recipe import recipe
from orchestrator.lab.up import Making, Wish, for_each, write_files
from orchestrator.lab.vm import folders, processes, switches
from orchestrator.lab.vm.accelerator import accelerator
from orchestrator.lab.vm.argv import Accelerator, Start
from orchestrator.lab.vm.host import (
    become,
    fits,
    overlay,
    runs,
    start,
    wait_for_agent,
    wait_until_up,
)
from orchestrator.lab.vm.image import Image, ensure_image
from orchestrator.lab.vm.layout import ADDRESS, lay_out_vms, slot_of
from orchestrator.lab.vm.saved import Saved, ensure_saved

IMAGE = "image"  # in a machine's folder, a link to what it was made from
FIRST_PORT, PORTS = 42200, 2000  # of the hosts' sshds on this machine


@dataclass(frozen=True)
class VmPieces:
    """Everything that virtual machines are made from."""

    image: Image
    accelerator: Accelerator
    saved: dict[int, Saved]  # by slot


def set_up_vms(home: Home, progress: Progress, count: int) -> VmPieces:
    """Make what virtual machines need, once: QEMU, their image, a saved state for each."""
    machine = platform.machine()
    if machine not in recipe().vm.architectures:
        raise Refused(
            f"virtual machines of the lab are not supported on {machine} yet",
            hint=f"they are on {', '.join(recipe().vm.architectures)}; containers (without --vm) work here",
        )
    ensure_packages(home, progress, recipe().vm.machine)
    with home.lock(SETUP, progress):
        processes.end(home.path / "tmp")  # of a set-up that was killed
        home.clear_leftovers()
        image = ensure_image(home, progress)
        how = accelerator(home, image, progress)
        saved = ensure_saved(home, image, how, range(1, count + 1), progress)
    return VmPieces(image, how, saved)


def _make(home: Home, wish: Wish, progress: Progress) -> records.Record:
    if wish.like is not None:
        raise Refused("--like and --vm do not go together yet", hint="--hosts and --topology do")
    lay_out_vms(wish.name, wish.hosts, wish.segments, range(len(wish.hosts)))  # refused before work
    pieces = set_up_vms(home, progress, len(wish.hosts))
    record = _claim(home, wish)
    layout, user = record.layout, new_key(f"orch-lab-{wish.name}")
    own = {host.name: new_key(host.name) for host in layout.hosts}

    def one(host: LabHost) -> None:
        folder = folders.of_host(home, layout, host)
        saved = pieces.saved[slot_of(layout, host)]
        overlay(saved.disk, folder)
        (folder / IMAGE).symlink_to(pieces.image.folder)
        machine = machine_of(home, layout, host, pieces.image, pieces.accelerator)
        start(replace(machine, state=saved.state), layout, host)
        wait_for_agent(folder, host.name)
        become(folder, host, own[host.name], user)
        wait_until_up(folder, host)

    with progress.timed(f"lab {layout.name}: {len(layout.hosts)} virtual machines"):
        fits(folders.wires(home, layout))
        folders.wires(home, layout).mkdir(parents=True, exist_ok=True)
        switches.start(folders.wires(home, layout), layout)
        for_each({host.name: host for host in layout.hosts}, one)
    write_files(record, wish, user, own)
    return record


def _claim(home: Home, wish: Wish) -> records.Record:
    """Choose ports that nobody uses, and write them down before anything is made."""
    with home.lock("networks"):
        others = (records.load(home, name) for name in records.names(home))
        taken = {host.port for other in others if other for host in other.layout.hosts}
        ports = free_ports(len(wish.hosts), taken)
        layout = lay_out_vms(wish.name, wish.hosts, wish.segments, ports)
        record = records.Record(layout, wish.folder.absolute(), own_engine=False, made_of="vm")
        records.save(home, record)
    return record


def free_ports(count: int, taken: Iterable[int]) -> list[int]:
    used = set(taken)
    found: list[int] = []
    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        if len(found) == count:
            break
        if port not in used and _free(port):
            found.append(port)
    if len(found) < count:
        raise Refused(f"no free port between {FIRST_PORT} and {FIRST_PORT + PORTS} on this machine")
    return found


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def machine_of(home: Home, layout: Layout, host: LabHost, image: Image, how: Accelerator) -> Start:
    """What is started for a host; it boots from its disk if no state is added."""
    folder, wires = folders.of_host(home, layout, host), folders.wires(home, layout)
    slot = slot_of(layout, host)
    return Start(folder, image.kernel, image.initrd, how, slot, wires=wires)


def power_on(home: Home, record: records.Record, host: LabHost, progress: Progress) -> None:
    """Boot a host that is off, from its own disk."""
    layout = record.layout
    folder = folders.of_host(home, layout, host)
    if not runs(folder):
        image = Image((folder / IMAGE).resolve())  # the kernel that its disk has the modules of
        how = accelerator(home, image, progress)
        start(machine_of(home, layout, host, image, how), layout, host)
    wait_until_up(folder, host)


def _start(home: Home, known: records.Record, progress: Progress) -> None:
    """Boot the machines that are off."""
    switches.start(folders.wires(home, known.layout), known.layout)
    for host in known.layout.hosts:
        if not runs(folders.of_host(home, known.layout, host)):
            progress.note(f"{host.name} is off: starting it")
            off = known.faults.get(host.name, [])
            known.faults[host.name] = [what for what in off if what != "power-off"]
        power_on(home, known, host, progress)


VMS = Making("vm", _make, _start)
