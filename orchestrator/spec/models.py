"""What the files mean: the resolved `Cluster`, `Host`, `Deployment`, from which all else is built.

What the YAML may say (`…File`, `…Entry`) lies in `entries`, the types of single values in `fields`; both
are here as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Literal

from orchestrator.spec.cluster_entries import (
    ClusterFile,
    DeploymentEntry,
    Endpoint,
    Gate,
    Hooks,
    PortRange,
    Replicas,
)
from orchestrator.spec.fields import (
    Count,
    Duration,
    GpuIndex,
    Name,
    Netdev,
    Port,
    Scalar,
    Size,
    Strict,
    Supervision,
    Version,
)
from orchestrator.spec.inventory_entries import (
    Cable,
    GpuEntry,
    HostEntry,
    InventoryFile,
    LinkEntry,
    NetworkEntry,
    PinnedLink,
    SecretRef,
    Ssh,
    SwitchLink,
)
from orchestrator.spec.kind_entries import (
    Expect,
    ExpectEntry,
    Half,
    Kind,
    PortSpec,
    Prepare,
    PrepareEntry,
    Sourced,
)
from orchestrator.spec.profile_entries import (
    Build,
    LimitsEntry,
    MountEntry,
    Parallel,
    ProfileFile,
    Ready,
    Warmup,
)

__all__ = [
    "Build",
    "Cable",
    "Cluster",
    "ClusterFile",
    "Count",
    "Deployment",
    "DeploymentEntry",
    "Duration",
    "Endpoint",
    "Expect",
    "ExpectEntry",
    "Finding",
    "Gate",
    "GpuEntry",
    "GpuIndex",
    "Half",
    "Hooks",
    "Host",
    "HostEntry",
    "InventoryFile",
    "Kind",
    "LimitsEntry",
    "Link",
    "LinkEntry",
    "MountEntry",
    "Name",
    "Netdev",
    "NetworkEntry",
    "Parallel",
    "PinnedLink",
    "Port",
    "PortRange",
    "PortRef",
    "PortSpec",
    "Prepare",
    "PrepareEntry",
    "Profile",
    "ProfileFile",
    "Ready",
    "Replicas",
    "Scalar",
    "SecretRef",
    "Size",
    "Sourced",
    "Ssh",
    "Strict",
    "Supervision",
    "SwitchLink",
    "Version",
    "Warmup",
]


class Finding(Strict):
    """Something wrong, or worth a word, in a file."""

    severity: Literal["error", "warning"] = "error"
    message: str
    path: str = ""  # hosts.spark-2.addres
    file: str = ""
    line: int = 0
    column: int = 0
    suggestion: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: " if self.file else ""
        path = f"{self.path}: " if self.path else ""
        tail = f" ({self.suggestion})" if self.suggestion else ""
        return f"{where}{self.severity}: {path}{self.message}{tail}"


class Host(Strict):
    """A host of the inventory, with its kind and the defaults merged in."""

    name: Name
    kind: Kind
    address: str
    ssh: Ssh
    gpus: tuple[GpuEntry, ...] | None  # None: not listed; the kind's count, or what the host has
    runtime: Literal["docker", "podman", "sudo -n podman", "process"]  # as it is called there
    become: Literal["sudo", "never"]
    become_password: SecretRef | None
    models: str
    ports: Mapping[str, PortSpec]
    management: tuple[Netdev, ...]
    prepare: Prepare
    expect: Expect = Expect()
    install_packages: bool
    env: Mapping[str, str]

    @property
    def local(self) -> bool:
        return self.address == "local"

    @property
    def gpu_count(self) -> int | None:
        return len(self.gpus) if self.gpus is not None else self.kind.gpu_count


class PortRef(Strict):
    host: Name
    port: str

    def __str__(self) -> str:
        return f"{self.host}.{self.port}"


class Link(Strict):
    """A cable between two ports, or the ports of a switch."""

    ends: tuple[PortRef, ...]
    switch: str | None = None
    subnets: tuple[IPv4Network, ...] | None = None  # one per half, pinned
    at_once: int | None = None  # pairs that the switch carries at the same time; None: all


class Profile(ProfileFile):
    """A profile with its parents merged in: engine and model are there."""

    name: str = ""
    engine: Name = "vllm"
    model: str = ""

    @property
    def engine_key(self) -> str:
        """The engine's module name: `llama.cpp` and `llama-cpp` are spelt as people spell them."""
        return self.engine.lower().replace(".", "").replace("-", "").replace("_", "")


class Deployment(Strict):
    """A profile placed on hosts. `hosts[0]` is the head."""

    name: Name
    profile: Profile  # with the deployment's args and env merged in
    hosts: tuple[Name, ...]
    parallel: Parallel
    rails: Literal["dual", "single"]
    port: Port
    gate: Gate
    endpoint: Endpoint
    after: tuple[Name, ...]
    gpus: tuple[int, ...] | int | Literal["all"]
    share_gpu: bool
    memory_bytes: int | None
    limits: LimitsEntry
    supervision: Supervision
    origin: str = ""  # its name in the file; "chat" for the replica chat-3
    beside: str | None = None  # the deployment whose GPUs it shares because of `with:`

    @property
    def head(self) -> str:
        return self.hosts[0]


class Cluster(Strict):
    """All that the files say, resolved: the spec, from which everything downstream is built."""

    name: Name
    root: Path  # folder of cluster.yaml: relative paths in the files start here
    hosts: Mapping[Name, Host]
    groups: Mapping[Name, tuple[Name, ...]]
    links: tuple[Link, ...]
    pool: IPv4Network
    mtu: int | None  # None: each kind's
    adopt: tuple[str, ...]
    addresses: Literal["static", "link-local"]
    ipv6: bool
    deployments: Mapping[Name, Deployment]  # enabled ones, replicas spread out
    takeover: tuple[str, ...] = ()
    hooks: Hooks = Hooks()
    notify: tuple[Mapping[str, str], ...] = ()
    tunnels: tuple[Mapping[str, str], ...] = ()
    sources: tuple[
        str, ...
    ] = ()  # the files that were read, packed ones as "packed:profiles/x.yaml"
    shadowed: tuple[str, ...] = ()  # packed files hidden by the user's own

    def url(self, deployment: Deployment) -> str:
        """Where people ask a deployment: the advertised address, or its head's."""
        host = self.hosts[deployment.head]
        address = deployment.endpoint.advertise or ("127.0.0.1" if host.local else host.address)
        shown = f"[{address}]" if ":" in address else address
        return f"http://{shown}:{deployment.port}"

    @property
    def used_hosts(self) -> tuple[Host, ...]:
        """Hosts that a deployment or a link uses, in inventory order."""
        used = {end.host for link in self.links for end in link.ends}
        used.update(name for one in self.deployments.values() for name in one.hosts)
        return tuple(host for name, host in self.hosts.items() if name in used)
