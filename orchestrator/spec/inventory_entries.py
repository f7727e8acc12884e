"""What inventory.yaml may say: hosts, how they are reached, cables.

Frozen types; descriptions end up in the JSON Schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator, model_validator

from orchestrator.spec.fields import (
    Duration,
    GpuIndex,
    Name,
    Netdev,
    Port,
    Size,
    Strict,
    Variable,
    Version,
)
from orchestrator.spec.kind_entries import ExpectEntry, PortSpec, PrepareEntry


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
    env: Mapping[Variable, str | int | float] | None = None


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
    at_once: int | None = Field(default=None, ge=1)

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
