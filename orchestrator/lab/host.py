"""One lab host: how its container is created, what it gets before its first boot, when it is up."""

from __future__ import annotations

import io
import json
import os
import socket
import tarfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.errors import CommandFailed, NoPatience
from orchestrator.lab.command import until
from orchestrator.lab.docker import Docker
from orchestrator.lab.keys import KeyPair
from orchestrator.lab.layout import MANAGEMENT, LabHost, Layout
from orchestrator.lab.tree import ENGINE, IMAGE, LLAMA, image_archive

LABEL, HOST_LABEL = "orch.lab", "orch.lab.host"
UID = 1000  # of `orch`, the first user the image makes
BOOT_SECONDS = 180  # measured: 3 s on 2 idle cores; over 60 s where many others work on them
NEVER = ("SYS_TIME", "SYS_MODULE", "SYS_RAWIO")  # clock, modules and raw memory are this machine's

# linux/capability.h
CAPABILITIES = [
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID",
    "SETUID", "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST",
    "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO",
    "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE",
    "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM",
    "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
]  # fmt: skip


def missing_capabilities(status: str) -> list[str]:
    """Capabilities outside the bounding set in /proc/PID/status; docker can't give those."""
    mask = next(
        int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapBnd")
    )
    return [name for bit, name in enumerate(CAPABILITIES) if not mask >> bit & 1]


def forbidden_capabilities() -> list[str]:
    """What a lab host goes without: what this machine lacks, and what would reach its kernel."""
    whose = Path("/proc/self/status") if os.geteuid() == 0 else Path("/proc/1/status")
    return list(dict.fromkeys([*missing_capabilities(whose.read_text()), *NEVER]))


def droppable(docker: Docker, lab: str, image: str, names: Sequence[str]) -> list[str]:
    """Those that this docker lets us drop: it refuses names that its version or machine does not know.

    What it is tried with has the lab's label: who is killed on the way leaves something that `down` finds.
    """
    if _creates(docker, lab, image, names):
        return list(names)
    return [name for name in names if _creates(docker, lab, image, [name])]


def _creates(docker: Docker, lab: str, image: str, dropped: Sequence[str]) -> bool:
    labels = ("--label", f"{LABEL}={lab}", "--label", f"{HOST_LABEL}=trial")
    drop = _each("--cap-drop", dropped)
    try:
        container = docker("create", "--network", "none", *labels, *drop, image)
    except CommandFailed:
        return False
    docker("rm", container.strip())
    return True


def create_argv(
    layout: Layout, host: LabHost, image: str, shared: dict[str, Path], dropped: Sequence[str]
) -> list[str]:
    """The `docker create` words: everything a machine has, less what would change this one.

    Not --privileged: that can't be narrowed, shows every device of this machine, and is refused
    where a capability is missing from the bounding set.
    """
    management = next(nic for nic in host.nics if nic.netdev == MANAGEMENT)
    mounts = [f"{volume(host, name)}:{path}" for name, path in VOLUMES.items()]
    mounts += [f"{source}:{path}:ro" for path, source in shared.items()]
    return [
        "create", "--name", host.container, "--hostname", host.name, "--stop-signal", "SIGRTMIN+3",
        "--label", f"{LABEL}={layout.name}", "--label", f"{HOST_LABEL}={host.name}",
        "--cap-add", "ALL", *_each("--cap-drop", dropped),
        "--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined",
        "--security-opt", "apparmor=unconfined", "--security-opt", "label=disable",
        "--device-cgroup-rule", "a *:* rwm", "--cgroupns=private", "--env", "container=docker",
        "--tmpfs", "/run", "--tmpfs", "/tmp",  # noqa: S108  in the container
        "--shm-size", "2g", "--pids-limit", "-1", *_each("--volume", mounts),
        "--network", management.network, "--ip", management.address,
        image, "/bin/sh", "/usr/lib/orch-lab/init.sh",
    ]  # fmt: skip


def _each(flag: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (flag, value)]


# the inner engine's overlay cannot lie on the outer one's, so its folders are volumes; the models
# are one so that their disk is a real one too
VOLUMES = {"docker": "/var/lib/docker", "containerd": "/var/lib/containerd", "models": "/models"}


def volume(host: LabHost, name: str) -> str:
    return f"{host.container}-{name}"


def shared_folders(engine: Path | None, llama: Path | None) -> dict[str, Path]:
    """What all hosts read from this machine, read-only: the 3 GB of vLLM are there once."""
    found = {ENGINE: engine, LLAMA: llama}
    return {path: folder for path, folder in found.items() if folder is not None}


def netplan_text(address: str, prefix: int, gateway: str) -> str:
    """The management interface's own file, as a real host has one.

    No IPv6: the address of a host that lost its power can still be on the wire when it comes back, is taken
    for a duplicate, and networkd then holds the boot up for two minutes.
    """
    return (
        "# the rehearsal lab's management network: what SSH comes in by\n"
        "network:\n  version: 2\n  renderer: networkd\n  ethernets:\n"
        f"    {MANAGEMENT}:\n      addresses: [{address}/{prefix}]\n"
        f"      routes: [{{to: default, via: {gateway}}}]\n"
        "      accept-ra: false\n      link-local: []\n"
    )


def seed_archive(
    layout: Layout, host: LabHost, own: KeyPair, user: KeyPair, models: Path, gateway: str
) -> bytes:
    """The files that make one host that host, as a tar to unpack at its root."""
    marker = {
        "lab": layout.name,
        "host": host.name,
        "interfaces": {nic.address: nic.netdev for nic in host.nics},
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        _add(tar, "etc/orch-lab", json.dumps(marker, indent=1).encode(), 0o644)
        _add(tar, "etc/machine-id", f"{uuid.uuid4().hex}\n".encode(), 0o444)
        _add(
            tar, "etc/netplan/01-mgmt.yaml", netplan_text(host.address, 24, gateway).encode(), 0o600
        )
        _add(tar, "etc/ssh/ssh_host_ed25519_key", own.private, 0o600)
        _add(tar, "etc/ssh/ssh_host_ed25519_key.pub", own.public.encode(), 0o644)
        _add_folder(tar, "home/orch/.ssh", 0o700)
        _add(tar, "home/orch/.ssh/authorized_keys", user.public.encode(), 0o600, UID)
        for path, content in _model_files(models):
            _add(tar, f"models/{path}", content, 0o644, UID)
        for folder in {str(Path(path).parent) for path, _ in _model_files(models)}:
            _add_folder(tar, str(Path("models") / folder), 0o755)
    return packed.getvalue()


def _model_files(models: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(models.rglob("*")):
        if file.is_file():
            yield str(file.relative_to(models)), file.read_bytes()


def _add(tar: tarfile.TarFile, path: str, content: bytes, mode: int, owner: int = 0) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode, entry.uid, entry.gid = len(content), mode, owner, owner
    tar.addfile(entry, io.BytesIO(content))


def _add_folder(tar: tarfile.TarFile, path: str, mode: int) -> None:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, UID, UID
    tar.addfile(entry)


def create(docker: Docker, host: LabHost, argv: Sequence[str], lab: str, seed: bytes) -> None:
    """Make the container with its volumes, cables and files; it is not started yet."""
    for name in VOLUMES:
        docker("volume", "create", "--label", f"{LABEL}={lab}", volume(host, name))
    docker(*argv)
    for nic in host.nics:
        if nic.netdev != MANAGEMENT:
            docker("network", "connect", "--ip", nic.address, nic.network, host.container)
    docker("cp", "-", f"{host.container}:/", stdin=seed)


def wait_until_up(docker: Docker, host: LabHost) -> None:
    """Up is: sshd greets on the management address and the host's own docker answers."""
    until(
        lambda: ssh_greets(host.address),
        seconds=BOOT_SECONDS,
        what=f"{host.name}: sshd at {host.address} answers",
        hint=f"docker logs {host.container}; docker exec {host.container} journalctl -b",
    )
    until(
        lambda: docker_answers(docker, host),
        seconds=BOOT_SECONDS,
        what=f"{host.name}: its docker engine answers",
        hint=f"docker exec {host.container} journalctl -u docker",
    )


def ssh_greets(address: str, seconds: float = 2, port: int = 22) -> bool:
    """Whether a daemon (not only a kernel with an open port) is behind the port."""
    try:
        with socket.create_connection((address, port), timeout=seconds) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def docker_answers(docker: Docker, host: LabHost) -> bool:
    try:
        docker.inside(host.container, "docker", "info", "--format", "{{.ID}}", timeout=20)
    except (CommandFailed, NoPatience):
        return False
    return True


def load_tree_image(docker: Docker, host: LabHost) -> None:
    """Give the host's own engines, docker and root's podman, the image that ranks run in."""
    for engine in ("docker", "podman"):
        docker.inside(host.container, engine, "load", "--quiet", stdin=image_archive())
        docker.inside(host.container, engine, "image", "inspect", "--format", "{{.Id}}", IMAGE)
