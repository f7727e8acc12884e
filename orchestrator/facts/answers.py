"""What facts look like once read: one frozen type per answer, units in the names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Identity:
    os_id: str  # debian, ubuntu, dgx-os …
    os_version: str
    kernel: str
    arch: str
    boot_id: str
    machine_id: str
    hostname: str
    clock_epoch_s: float  # the host's clock when it answered
    cpus: int
    user: str
    uid: int
    in_lab: bool  # /etc/orch-lab exists


@dataclass(frozen=True)
class Memory:
    total_bytes: int
    available_bytes: int
    swap_total_bytes: int
    swap_used_bytes: int


@dataclass(frozen=True)
class Disk:
    path: str
    fstype: str
    total_bytes: int
    free_bytes: int
    free_inodes: int
    device: str  # nvme0n1 …; "" where there is none (overlay, tmpfs)
    read_ahead_kb: int | None


@dataclass(frozen=True)
class Gpu:
    index: int  # CUDA order (PCI bus order)
    uuid: str
    name: str
    memory_bytes: int | None  # None: unified memory ([N/A]); see Memory
    memory_used_bytes: int | None
    numa_node: int | None
    driver: str


@dataclass(frozen=True)
class Gpus:
    gpus: tuple[Gpu, ...]  # empty: no nvidia-smi, or it lists none
    topology: Mapping[tuple[int, int], str] = field(default_factory=dict)  # (0, 1) → "NODE"
    toolkit: bool = False  # the container toolkit is there


@dataclass(frozen=True)
class Netdev:
    name: str
    mac: str
    mtu: int
    up: bool  # administratively
    carrier: bool
    speed_mbps: int | None
    addresses: tuple[str, ...]  # "192.168.100.10/24", v4 and v6
    driver: str
    pci: str  # "" where none


@dataclass(frozen=True)
class Network:
    netdevs: Mapping[str, Netdev]
    ssh_netdev: str  # carries our SSH; "" for a local host
    ssh_address: str
    default_netdev: str
    renderer: str  # "networkd" | "NetworkManager" | "none"
    routes: tuple[str, ...] = ()  # destination prefixes with their device: "10.0.0.0/8 dev eth0"


@dataclass(frozen=True)
class RdmaDevice:
    name: str
    port: int
    netdev: str
    state: str  # ACTIVE, DOWN …
    rate_gbps: float | None
    active_mtu: int | None
    link_layer: str
    firmware: str
    gids: tuple[tuple[int, str, str], ...]  # index, gid, "RoCE v2"


@dataclass(frozen=True)
class Rdma:
    devices: tuple[RdmaDevice, ...]
    dev_infiniband: bool  # /dev/infiniband exists
    memlock_unlimited: bool  # a container may have it (CAP_SYS_RESOURCE, daemon's own limit)


@dataclass(frozen=True)
class ListeningPort:
    port: int
    address: str
    process: str  # "" where not visible
    pid: int | None


@dataclass(frozen=True)
class ContainerEngine:
    runtime: str  # docker | podman
    present: bool
    usable: bool  # this user may talk to it and it answers
    version: str
    root: str  # data root
    why: str  # what it said where not usable
    cgroup: str = ""


@dataclass(frozen=True)
class Container:
    name: str
    id: str
    image: str
    image_id: str
    state: str  # running | exited | created | restarting | paused | dead
    exit_code: int | None
    oom_killed: bool
    restart_count: int
    restart_policy: str
    started_at: str
    labels: Mapping[str, str]
    health: str = ""


@dataclass(frozen=True)
class Image:
    reference: str
    present: bool
    id: str  # "sha256:…" of the config; "" where absent
    digests: tuple[str, ...]  # repo digests


@dataclass(frozen=True)
class NetplanFile:
    path: str
    mode: int
    sha256: str
    text: str


@dataclass(frozen=True)
class Privilege:
    root: bool
    sudo: bool  # sudo -n works


@dataclass(frozen=True)
class PathInfo:
    path: str
    exists: bool
    is_dir: bool
    size_bytes: int  # of all below
    files: int
    fingerprint: str  # names and sizes of what is below, hashed; "" where absent


@dataclass(frozen=True)
class Limits:
    nofile: int | None  # None: unlimited
    memlock_bytes: int | None
