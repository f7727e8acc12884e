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
    controller_epoch_s: float = 0.0  # our clock when the answer was read; 0 where not taken
    read_s: float = 0.0  # from our asking to that: by so much the clocks' difference is uncertain


@dataclass(frozen=True)
class Memory:
    total_bytes: int
    available_bytes: int
    swap_total_bytes: int
    swap_used_bytes: int
    free_bytes: int = 0  # not used at all; `available` counts what can be given back as well
    droppable_bytes: int = 0  # page cache that dropping it would free


@dataclass(frozen=True)
class Disk:
    path: str
    fstype: str
    total_bytes: int
    free_bytes: int
    free_inodes: int
    device: str  # nvme0n1 …; "" where there is none (overlay, tmpfs)
    read_ahead_kb: int | None
    near: str = ""  # the folder that was looked at: `path`, or the nearest one above that exists
    writable: bool = True  # this user may write in `near`
    total_inodes: int = 0  # 0: the file system does not count them (btrfs)


@dataclass(frozen=True)
class Gpu:
    index: int  # CUDA order (PCI bus order)
    uuid: str
    name: str
    memory_bytes: int | None  # None: unified memory ([N/A]); see Memory
    memory_used_bytes: int | None
    numa_node: int | None
    driver: str
    pci: str = ""  # 0000:01:00.0
    memory_free_bytes: int | None = None  # less than total - used: the driver keeps some of it


@dataclass(frozen=True)
class Gpus:
    gpus: tuple[Gpu, ...]  # empty: no nvidia-smi, or it lists none
    topology: Mapping[tuple[int, int], str] = field(
        default_factory=dict
    )  # (0, 1) → "NODE"; a pair that is missing is not known
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
    manager: str = ""  # networkd | NetworkManager; "": neither configures it


@dataclass(frozen=True)
class Network:
    netdevs: Mapping[str, Netdev]
    ssh_netdev: str  # carries our SSH; "" for a local host
    ssh_address: str
    default_netdev: str
    renderer: str  # which of them runs: "networkd" | "NetworkManager" | "both" | "none"
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
    free_bytes: int | None = None  # where `root` lies; None: not visible to this user
    free_inodes: int | None = None
    nvidia: bool = False  # it has an nvidia runtime; podman: NVIDIA's devices are described (CDI)
    lasting: bool = True  # its containers outlive the login that started them


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
    serves: str = ""  # which model server it runs, by its words: vllm, llamacpp, sglang, ray …


@dataclass(frozen=True)
class Image:
    reference: str
    present: bool
    id: str  # "sha256:…" of the config; "" where absent
    digests: tuple[str, ...]  # repo digests
    architecture: str = ""  # amd64, arm64
    size_bytes: int = 0


@dataclass(frozen=True)
class NetplanFile:
    path: str
    mode: int
    sha256: str
    text: str


@dataclass(frozen=True)
class Profile:
    """A connection profile of NetworkManager's, for a wire."""

    path: str
    id: str
    interface: str  # "" where none is named
    mac: str  # in small letters; "" where none is named
    patterns: tuple[str, ...]  # of interface names
    autoconnect: bool
    priority: int
    port_of: str  # the bond or bridge that it gives its interface to
    method: str  # of IPv4: manual, auto, link-local, disabled …
    addresses: tuple[str, ...]
    mtu: int


@dataclass(frozen=True)
class Privilege:
    root: bool
    sudo: bool  # sudo -n works


@dataclass(frozen=True)
class PathInfo:
    path: str
    exists: bool
    is_dir: bool
    size_bytes: int  # of all below; of a split GGUF's file that of all parts
    files: int
    fingerprint: str  # names and sizes of what is below, hashed; "" where absent
    broken: int = 0  # links whose target is missing (a hub snapshot without its blobs)
    lacks: int = 0  # files that an index or the names of others call for, and that are not there
    first_lacking: str = ""  # the first of them by name, below the path or the hub's revision
    unfinished: int = 0  # `*.incomplete`: downloads that stopped half way or go on


@dataclass(frozen=True)
class Limits:
    nofile: int | None  # None: unlimited
    memlock_bytes: int | None
    raisable: bool = False  # root may raise limits here (CAP_SYS_RESOURCE is not taken away)


@dataclass(frozen=True)
class Packages:
    manager: str  # apt | dnf | zypper | pacman; "": none that is known
    versions: Mapping[str, str]  # name → installed version, "" where it is not installed


@dataclass(frozen=True)
class PcieLink:
    """How a netdev's function hangs on PCIe now, and what it could; None: the kernel does not say."""

    speed_gts: float | None  # 32.0 (Gen5), a lane
    width: int | None  # lanes
    max_speed_gts: float | None
    max_width: int | None

    @property
    def gbps(self) -> float | None:
        """What the lanes carry, without packet headers: 126 for four lanes of 32 GT/s."""
        if self.speed_gts is None or self.width is None:
            return None
        coded = 8 / 10 if self.speed_gts < 8 else 128 / 130  # Gen1 and 2 send ten bits for eight
        return self.speed_gts * self.width * coded


@dataclass(frozen=True)
class IpSettings:
    """What decides for which interface the kernel answers; of an interface, or of "all"."""

    arp_ignore: int
    arp_announce: int
    rp_filter: int


@dataclass(frozen=True)
class RdmaCounters:
    """One port of an RDMA device: everything that it counts, by the kernel's names."""

    counters: Mapping[str, int]  # counters/: port_xmit_data (words of four bytes), …
    hw_counters: Mapping[str, int]  # hw_counters/: out_of_sequence, sent_pkts (rxe), …


@dataclass(frozen=True)
class Neighbour:
    """Whom the kernel knows over an interface."""

    netdev: str
    address: str
    mac: str
    state: str  # REACHABLE, STALE …


@dataclass(frozen=True)
class LldpNeighbour:
    """What a neighbour says of itself over LLDP."""

    netdev: str  # ours
    system: str  # its host name; "" where it does not say
    chassis: str  # its id, a MAC as a rule
    port: str  # its port's id: a name or a MAC
    described: str = ""  # its port in words


@dataclass(frozen=True)
class Sighting:
    """A frame that came in over one interface, and where it says that it was sent."""

    netdev: str  # ours
    mac: str  # the sender's
    host: str = ""  # who says that it sent it; "" where only the MAC is known
    sender: str = ""  # the netdev that it says it left by
