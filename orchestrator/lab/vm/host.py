"""One virtual machine as a host: how it starts, becomes the host it shall be, and when it is up."""

from __future__ import annotations

import io
import tarfile
import time
import uuid
from pathlib import Path

from orchestrator.errors import FilesWrong
from orchestrator.lab.command import run, until
from orchestrator.lab.host import UID, ssh_greets
from orchestrator.lab.keys import KeyPair
from orchestrator.lab.layout import MANAGEMENT, LabHost, Layout
from orchestrator.lab.vm.argv import Start, qemu_argv
from orchestrator.lab.vm.layout import RAILS, subnet, wire_of
from orchestrator.lab.vm.processes import of_folder
from orchestrator.lab.vm.qmp import answers, checked, qemu

BOOT_SECONDS = 300  # measured: 25 s emulated, alone on 2 cores; 48 s two at once on a busy machine
RESTORE_SECONDS = 60
SOCKET_PATH_LIMIT = 108  # sun_path, unix(7)
LONGEST_SOCKET = "c255h2-32s"


def fits(folder: Path) -> None:
    """Refuse a folder in which QEMU could not make its sockets."""
    if len(f"{folder}/{LONGEST_SOCKET}") >= SOCKET_PATH_LIMIT:
        raise FilesWrong(
            f"{folder}: too long a path for the sockets of virtual machines",
            hint="set ORCH_LAB_HOME to a shorter folder",
        )


def overlay(disk: Path, folder: Path) -> None:
    """The machine's own disk: what it writes lies there, over a disk that stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / "disk.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(disk), str(own)])


def start(machine: Start, layout: Layout | None = None, host: LabHost | None = None) -> None:
    """Start QEMU; with a saved state, wait until it is read and let the machine go on."""
    for name in ("qmp", "agent", "pid"):
        (machine.folder / name).unlink(missing_ok=True)
    if machine.wires is not None and host is not None and layout is not None:
        for nic in host.nics:
            if nic.end is not None:
                own = machine.wires / f"{nic.network}-{machine.slot}"
                own.unlink(missing_ok=True)
    run(qemu_argv(machine, layout, host), timeout=RESTORE_SECONDS)
    with qemu(machine.folder) as line:
        if machine.state is not None:
            until(
                lambda: line("query-status")["status"] != "inmigrate",
                seconds=RESTORE_SECONDS,
                what=f"{machine.folder.name}: its saved state is read",
                every=0.02,
            )
    set_links(machine.folder, host)  # a state brings its own: all of them are said anew
    with qemu(machine.folder) as line:
        line("cont")


def set_links(folder: Path, host: LabHost | None) -> None:
    """Light where a cable is in, and nowhere else."""
    with qemu(folder) as line:
        for netdev in RAILS:
            wired = host is not None and wire_of(host, netdev) is not None
            line("set_link", name=f"nic-{netdev}", up=wired)


def runs(folder: Path) -> bool:
    return bool(of_folder(folder))


def wait_for_agent(folder: Path, name: str, seconds: float = BOOT_SECONDS) -> None:
    until(
        lambda: answers(folder),
        seconds=seconds,
        what=f"{name}: the agent inside answers",
        hint=f"its console: {folder}/console.log",
    )


def wait_until_up(folder: Path, host: LabHost) -> None:
    """Up is: the agent inside answers, the RDMA devices are made, and sshd greets on its port."""
    wait_for_agent(folder, host.name)
    checked(folder, "systemctl", "start", "orch-lab-rxe.service", seconds=BOOT_SECONDS)
    until(
        lambda: ssh_greets(host.address, port=host.port),
        seconds=BOOT_SECONDS,
        what=f"{host.name}: sshd at {host.address} port {host.port} answers",
        hint=f"its console: {folder}/console.log",
    )


def become(folder: Path, host: LabHost, own: KeyPair, user: KeyPair) -> None:
    """Make a restored machine this host: name, keys, machine id, and the time that it is."""
    seed = seed_archive(own, user)
    checked(folder, "/bin/tar", "-xz", "-C", "/", stdin=seed)
    now = f"{time.time():.3f}"
    checked(folder, "/bin/sh", "/usr/lib/orch-lab/become.sh", host.name, now)


def seed_archive(own: KeyPair, user: KeyPair) -> bytes:
    """The files that make one machine that host, as a tar to unpack at its root.

    No /etc/orch-lab as in a container: the kernel is the machine's own, so nothing of it is spared.
    """
    files = {
        "etc/machine-id": (f"{uuid.uuid4().hex}\n", 0o444, 0),
        "etc/ssh/ssh_host_ed25519_key": (own.private.decode(), 0o600, 0),
        "etc/ssh/ssh_host_ed25519_key.pub": (own.public, 0o644, 0),
        "home/orch/.ssh/authorized_keys": (user.public, 0o600, UID),
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path, (text, mode, owner) in files.items():
            entry = tarfile.TarInfo(path)
            content = text.encode()
            entry.size, entry.mode, entry.uid, entry.gid = len(content), mode, owner, owner
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def netplan_text(slot: int) -> str:
    """The management interface's own file, as a real host has one."""
    return (
        "# the rehearsal lab's way from its machine into this host: what SSH comes in by\n"
        "network:\n  version: 2\n  renderer: networkd\n  ethernets:\n"
        f"    {MANAGEMENT}:\n      addresses: [{subnet(slot)}.15/24]\n"
        "      accept-ra: false\n      link-local: []\n"
    )
