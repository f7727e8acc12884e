"""What the user's YAML may say, as frozen types; descriptions end up in the JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator, model_validator

from orchestrator.spec.fields import (
    Count,
    Duration,
    EngineVersion,
    GpuIndex,
    HttpPath,
    Name,
    Netdev,
    Port,
    Scalar,
    Size,
    Strict,
    Supervision,
    Version,
    Versions,
)
from orchestrator.spec.services import Compose, PortWord, Unit

# --- kind: what a host is -----------------------------------------------------------------------


class Half(Strict):
    """One function of a port: a netdev and, where it has one, its RDMA device."""

    netdev: Netdev
    rdma: str | None = None


class PortSpec(Strict):
    halves: tuple[Half, ...] = Field(min_length=1)
    gbps: float = Field(default=200, description="speed of the cable, Gb/s")
    nccl: bool = Field(
        default=True, description="false: a slow link that carries weights and control, never NCCL"
    )


class Sourced(Strict):
    """A value from the field, and where it was learned."""

    value: str | int | float
    source: str


class Prepare(Strict):
    """Which preparation steps a host gets. Kernel-wide ones are off in a lab host."""

    swap_off: bool = False
    drop_caches: bool = False
    read_ahead_kb: int | None = None
    limits: bool = True
    packages: bool = True
    model_disk: bool = True


class PrepareEntry(Strict):
    """What a host has otherwise than its kind."""

    swap_off: bool | None = None
    drop_caches: bool | None = None
    read_ahead_kb: int | Literal[False] | None = Field(default=None, description="false: leave it")
    limits: bool | None = None
    packages: bool | None = None
    model_disk: bool | None = None


class Expect(Strict):
    """What a link of this hardware should give, for its verdict. Gb/s; what is not said comes from cable and PCIe."""

    half_gbps: float | None = Field(default=None, gt=0)
    port_gbps: float | None = Field(default=None, gt=0)
    tcp_gbps: float | None = Field(default=None, gt=0)
    share: float = Field(default=0.9, gt=0, le=1)
    failed_share: float = Field(default=0.666, gt=0, le=1)
    relative: str = ""


class ExpectEntry(Strict):
    """What a host's links should give, in place of what its kind says."""

    half_gbps: float | None = Field(default=None, gt=0)
    port_gbps: float | None = Field(default=None, gt=0)
    tcp_gbps: float | None = Field(default=None, gt=0)
    share: float | None = Field(default=None, gt=0, le=1)
    failed_share: float | None = Field(default=None, gt=0, le=1)
    relative: str | None = None


class Kind(Strict):
    version: Version
    name: Name
    extends: str | None = None
    description: str = ""
    ports: Mapping[str, PortSpec] = {}
    management: tuple[Netdev, ...] = ()
    unified_memory: bool = False
    gpu_count: GpuIndex | None = Field(
        default=None, description="GPUs where the inventory does not list them"
    )
    logical_gpus: bool = Field(
        default=False, description="GPUs are a word to Ray only: no device, no --gpus (lab)"
    )
    gpu_memory: Size | None = Field(
        default=None, description="memory of one GPU where the inventory does not say it"
    )
    gdr: bool = Field(default=True, description="GPUDirect RDMA works")
    expect_half_gbps: float | None = Field(default=None, gt=0)
    expect_port_gbps: float | None = Field(default=None, gt=0)
    expect_tcp_gbps: float | None = Field(default=None, gt=0)
    expect_share: float = Field(default=0.9, gt=0, le=1)
    expect_failed_share: float = Field(default=0.666, gt=0, le=1)
    expect_relative: str = ""
    expect_host_gbps: float | None = Field(default=None, gt=0)
    same_port_in_pair: bool = False
    gpu: str | None = None
    mtu: int = 9000
    prepare: Prepare = Prepare()
    env: Mapping[str, Sourced] = {}
    rank_env_ring: Mapping[str, Sourced] = {}
    rank_env_wide_ring: Mapping[str, Sourced] = {}
    quirks: tuple[str, ...] = ()

    @property
    def expect(self) -> Expect:
        """What its keys `expect_…` say."""
        return Expect(**{name: getattr(self, f"expect_{name}") for name in Expect.model_fields})


# --- inventory ----------------------------------------------------------------------------------


class SecretRef(Strict):
    """Where a secret's value comes from; exactly one of the three."""

    env: str | None = None
    file: str | None = None
    command: str | None = None

    @model_validator(mode="after")
    def _one(self) -> SecretRef:
        said = [name for name in ("env", "file", "command") if getattr(self, name) is not None]
        if len(said) != 1:
            raise ValueError("a secret has exactly one of env, file, command")
        return self


class Ssh(Strict):
    user: str | None = None
    key: str | None = None
    port: Port | None = None
    jump: str | None = Field(default=None, description="a host of this inventory, or user@host")
    host_key: str | None = Field(
        default=None, description="'ssh-ed25519 AAAA…': the only key accepted"
    )
    known_hosts: str | None = None
    config: str | None = Field(default=None, description="ssh config file; default ~/.ssh/config")
    timeout: Duration | None = None


class GpuEntry(Strict):
    index: GpuIndex
    name: str | None = None
    uuid: str | None = None
    memory: Size | None = None
    reserve: Size | None = None


class HostEntry(Strict):
    may_be_empty = True

    kind: Name | None = None
    address: str | None = Field(
        default=None, description="host name or IP; 'local' for this machine"
    )
    ssh: Ssh | None = None
    gpus: tuple[GpuEntry, ...] | GpuIndex | None = Field(
        default=None, description="each one, or how many"
    )
    runtime: Literal["docker", "podman", "process"] | None = None
    become: Literal["sudo", "never"] | None = None
    become_password: SecretRef | None = None
    models: str | None = Field(default=None, description="folder for weights on the host")
    ports: Mapping[str, PortSpec] | None = Field(default=None, description="overrides the kind's")
    management: tuple[Netdev, ...] | None = None
    prepare: PrepareEntry | None = Field(
        default=None, description="overrides of the kind's prepare"
    )
    expect: ExpectEntry | None = Field(
        default=None, description="overrides of what the kind expects of links"
    )
    install_packages: bool | None = Field(
        default=None, description="may install missing tools with apt or dnf"
    )
    env: Mapping[str, str | int | float] | None = None


def _two_ends(ends: tuple[str, ...]) -> tuple[str, ...]:
    if len(ends) != 2:
        raise ValueError(f"a cable has two ends, this one has {len(ends)}")
    return ends


EXPECT = (
    "Gb/s that all halves together should carry, in place of the kind's number; less is degraded"
)
Cable = Annotated[tuple[str, ...], AfterValidator(_two_ends)]


class SwitchLink(Strict):
    switch: Name
    ports: tuple[str, ...]
    subnets: tuple[str, ...] | None = None

    @field_validator("ports")
    @classmethod
    def _two_ports(cls, ports: tuple[str, ...]) -> tuple[str, ...]:
        if len(ports) < 2:
            raise ValueError(f"a switch joins two ports or more, this one has {len(ports)}")
        return ports


class PinnedLink(Strict):
    ends: Cable
    subnets: tuple[str, ...] | None = None


def _link_form(link: object) -> str:
    """Which of the three forms a link has; the tags have blanks, so that no key can be one."""
    if isinstance(link, SwitchLink) or (isinstance(link, Mapping) and "switch" in link):
        return "a switch"
    return "pinned ends" if isinstance(link, PinnedLink | Mapping) else "a cable"


LinkEntry = Annotated[
    Annotated[Cable, Tag("a cable")]
    | Annotated[SwitchLink, Tag("a switch")]
    | Annotated[PinnedLink, Tag("pinned ends")],
    Discriminator(_link_form),
]


class NetworkEntry(Strict):
    pool: str = "10.20.0.0/16"
    mtu: int | None = Field(default=None, ge=576, le=65535)
    adopt: tuple[str, ...] = ()
    addresses: Literal["static", "link-local"] = "static"
    ipv6: bool = False


class InventoryFile(Strict):
    version: Version
    defaults: HostEntry = HostEntry()
    hosts: Mapping[Name, HostEntry]
    groups: Mapping[Name, tuple[str, ...]] = {}
    links: tuple[LinkEntry, ...] = ()
    network: NetworkEntry = NetworkEntry()


# --- profile ------------------------------------------------------------------------------------


class MountEntry(Strict):
    from_: str = Field(alias="from")
    to: str
    read_only: bool = False
    sync: bool = Field(
        default=False, description="bring the local file or folder to every host first"
    )


class Ready(Strict):
    start: Duration = "30m"
    stall: Duration = "10m"
    http: HttpPath | None = None
    command: str | None = None


class Warmup(Strict):
    prompts: tuple[int, ...] = Field(default=(), description="prompt sizes in tokens")


class Build(Strict):
    dockerfile: str
    context: str = "."


class Parallel(Strict):
    tensor: Count = 1
    pipeline: Count = 1
    data: Count = 1

    @property
    def world(self) -> int:
        """Ranks in all."""
        return self.tensor * self.pipeline * self.data


class LimitsEntry(Strict):
    memory: Size | None = None
    memory_swap: Size | None = None
    cpus: float | None = Field(default=None, gt=0)


class VersionForm(Strict):
    args: Mapping[str, Any] = {}
    env: Mapping[str, Scalar] = {}


class ProfileFile(Strict):
    version: Version
    extends: str | None = None
    description: str = ""
    engine: Name | None = None
    executor: Literal["ray", "native", "mp"] | None = None
    model: str | None = Field(
        default=None, description="a hub id, or an absolute path on the hosts"
    )
    served_name: str | None = None
    image: str | None = None
    entrypoint: str | None = None
    args: Mapping[str, Any] = {}
    env: Mapping[str, Scalar] = {}
    env_by_host: Mapping[str, Mapping[str, Scalar]] = {}
    engine_version: EngineVersion | None = None
    by_version: Mapping[Versions, VersionForm] = {}
    secrets: Mapping[str, SecretRef] = {}
    api_key: SecretRef | None = None
    mounts: tuple[MountEntry, ...] = ()
    tmpfs: Mapping[str, str] = Field(default={}, description="path → mount options, 'size=1g'")
    packages: tuple[str, ...] = ()
    ready: Ready = Ready()
    warmup: Warmup | None = None
    patches: Mapping[str, Mapping[str, Any]] = {}
    venv: str | None = None
    cuda_home: str | None = None
    library_paths: tuple[str, ...] = ()
    caches: Mapping[str, str] = {}
    build: Build | None = None
    shm: Size | None = None
    limits: LimitsEntry | None = None
    supervision: Supervision | None = None
    debug: bool = False
    rpc_port: Port | None = None
    ray: Mapping[str, Any] = Field(
        default={}, description="ray start options, e.g. object-store-memory"
    )
    commands: Mapping[str, str] = Field(
        default={}, description="programs in the image: ray, vllm, server, rpc-server"
    )
    heads: Count | None = Field(
        default=None, description="attention heads, where the model folder can't tell"
    )
    intermediate_size: int | None = Field(
        default=None,
        ge=1,
        description="width of its linear layers, which tensor parallel divides too",
    )
    command: tuple[str, ...] = ()
    container_port: Port | None = None
    ports: tuple[PortWord, ...] = ()
    compose: Compose | None = None
    unit: Unit | None = None
    weights: Size | None = Field(
        default=None, description="size of the model's files, for `orch profiles`"
    )
    archived: str = Field(
        default="", description="why it is kept and should not be used; `orch check` tells it"
    )
    task: Literal["generate", "embed"] | None = Field(
        default=None,
        description="embed: an embedding server; the engine is told so in its version's words, "
        "and proves itself by a vector instead of a completion",
    )


# --- cluster ------------------------------------------------------------------------------------


class PortRange(Strict):
    from_: Port = Field(alias="from")


class Replicas(Strict):
    per: Literal["gpu", "host"]
    count: Count


class Gate(Strict):
    rdma: Literal["required", "degraded-ok", "off"] | None = None
    memory: Literal["required", "off"] | None = None
    parity: Literal["required", "off"] | None = None


class Endpoint(Strict):
    advertise: str | None = None
    bind: str | None = None


class DeploymentEntry(Strict):
    may_be_empty = True

    profile: str
    hosts: str | tuple[str, ...] | None = None
    head: str | None = None
    parallel: Parallel = Parallel()
    rails: Literal["dual", "single"] = "dual"
    port: Port | PortRange | None = None
    gate: Gate = Gate()
    endpoint: Endpoint = Endpoint()
    after: tuple[str, ...] = ()
    gpus: tuple[GpuIndex, ...] | GpuIndex | Literal["all"] | None = Field(
        default=None, description="indices, or how many, or all"
    )
    share_gpu: bool = False
    memory: Size | None = None
    replicas: Replicas | None = None
    with_: str | None = Field(default=None, alias="with")
    limits: LimitsEntry | None = None
    enabled: bool = True
    supervision: Supervision | None = None
    args: Mapping[str, Any] = {}
    env: Mapping[str, Scalar] = {}


class Hooks(Strict):
    before: Mapping[str, tuple[str, ...]] = {}
    after: Mapping[str, tuple[str, ...]] = {}


class ClusterFile(Strict):
    version: Version
    name: Name
    inventory: str = "inventory.yaml"
    deployments: Mapping[Name, DeploymentEntry] = {}
    takeover: tuple[str, ...] = ()
    hooks: Hooks = Hooks()
    notify: tuple[Mapping[str, str], ...] = ()
    tunnels: tuple[Mapping[str, str], ...] = ()
