"""The QEMU command of one host. No I/O: every path is given."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.lab.layout import LabHost, Layout
from orchestrator.lab.recipe import recipe
from orchestrator.lab.vm.layout import (
    ADDRESS,
    MANAGEMENT_SLOT,
    RAIL_SLOTS,
    far_end,
    mac,
    slot_of,
    subnet,
    wire_of,
)

Accelerator = Literal["kvm", "tcg"]
PROGRAM = "qemu-system-x86_64"
# Under emulation all that QEMU knows, less what only costs time there: five-level paging, the kernel's own guard
# around each access to a program's memory, and string instructions, which are emulated byte by byte.
EMULATED = "max,la57=off,smap=off,smep=off,erms=off,fsrm=off"
HOW: dict[Accelerator, list[str]] = {
    "kvm": ["-accel", "kvm", "-cpu", "host"],
    "tcg": ["-accel", "tcg,thread=multi", "-cpu", EMULATED],
}
# What a test machine can go without saves seconds of each boot; AppArmor would need its parser in the image.
KERNEL = (
    "console=ttyS0 quiet mitigations=off apparmor=0 audit=0 nowatchdog random.trust_cpu=on net.ifnames=1 "
    "systemd.show_status=0 panic=-1"
)
# QEMU finds what it has translated again by its address, so that programs must not lie elsewhere at each start:
# 150 starts of `cat` took 11.8 s of CPU, 3.4 s without randomization, and 2.5 s with EMULATED too.
KERNEL_OF: dict[Accelerator, str] = {"kvm": KERNEL, "tcg": f"{KERNEL} norandmaps"}
SPEED = "speed=200000,duplex=full"  # what the cards say of their cables, in Mb/s, as a Spark's do
AGENT = "org.qemu.guest_agent.0"


@dataclass(frozen=True)
class Start:
    """One machine to start."""

    folder: Path  # its own: overlay, sockets, console
    kernel: Path
    initrd: Path
    accelerator: Accelerator
    slot: int
    state: Path | None = None  # go on from here; None: boot
    wires: Path | None = None  # where the sockets of the lab's cables are; None: no cable anywhere


def qemu_argv(start: Start, layout: Layout | None = None, host: LabHost | None = None) -> list[str]:
    """QEMU in the background; without a lab, the machine as it is before it is any host."""
    vm, folder = recipe().vm, start.folder
    argv = [
        PROGRAM, "-name", f"orch-lab-{host.name if host else start.slot}", "-M", "q35",
        *HOW[start.accelerator],
        "-m", str(vm.memory_mib), "-smp", str(vm.cpus),
        "-nodefaults", "-no-user-config", "-display", "none",
        "-daemonize", "-pidfile", f"{folder}/pid",
        "-serial", f"file:{folder}/console.log",
        "-qmp", f"unix:{folder}/qmp,server=on,wait=off",
        "-kernel", str(start.kernel), "-initrd", str(start.initrd),
        "-append", KERNEL_OF[start.accelerator],
        "-drive", f"if=none,id=disk,file={folder}/disk.qcow2,format=qcow2,cache=unsafe",
        "-device", "virtio-blk-pci,drive=disk,addr=0x8",
        "-object", "rng-random,id=rng,filename=/dev/urandom",
        "-device", "virtio-rng-pci,rng=rng,addr=0x9",
        "-device", "virtio-serial-pci,addr=0xa",
        "-chardev", f"socket,id=agent,path={folder}/agent,server=on,wait=off",
        "-device", f"virtserialport,chardev=agent,name={AGENT}",
        *_management(start.slot, host),
    ]  # fmt: skip
    for netdev in RAIL_SLOTS:
        argv += _rail(start, netdev, layout, host)
    if start.state is not None:
        argv += ["-incoming", f"exec:cat {shlex.quote(str(start.state))}"]
    return argv


def _management(slot: int, host: LabHost | None) -> list[str]:
    """A network of QEMU's own that leads nowhere but from this machine to the host's sshd."""
    forward = f",hostfwd=tcp:{ADDRESS}:{host.port}-{subnet(slot)}.15:22" if host else ""
    return [
        "-netdev", f"user,id=mgmt,restrict=on,net={subnet(slot)}.0/24{forward}",
        "-device", f"virtio-net-pci,netdev=mgmt,id=nic-mgmt,mac={mac(slot, 0)},addr={MANAGEMENT_SLOT:#x},romfile=",
    ]  # fmt: skip


def _rail(start: Start, netdev: str, layout: Layout | None, host: LabHost | None) -> list[str]:
    """A data card; where no cable is in, its wire ends at itself and its link is set down."""
    card = RAIL_SLOTS[netdev]
    wire = wire_of(host, netdev) if host else None
    if wire is None or layout is None or host is None or start.wires is None:
        back = f"hubport,id={netdev},hubid={card}"
    else:
        own, far = wire_ends(start.wires, layout, host, wire)
        back = (
            f"dgram,id={netdev},local.type=unix,local.path={own},remote.type=unix,remote.path={far}"
        )
    device = f"virtio-net-pci,netdev={netdev},id=nic-{netdev},mac={mac(start.slot, card)}"
    return ["-netdev", back, "-device", f"{device},addr={card:#x},romfile=,{SPEED}"]


def wire_ends(folder: Path, layout: Layout, host: LabHost, wire: str) -> tuple[Path, Path]:
    """The sockets at this host's end of a wire: its own, and the one that it sends to."""
    own = folder / f"{wire}-{slot_of(layout, host)}"
    far = far_end(layout, host, wire)
    if far is None:
        return own, folder / f"{own.name}s"
    return own, folder / f"{wire}-{slot_of(layout, far)}"
