"""What cluster.yaml may say: deployments, where they run, their gates.

Frozen types; descriptions end up in the JSON Schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from orchestrator.spec.fields import (
    Count,
    GpuIndex,
    Name,
    Port,
    Scalar,
    Size,
    Strict,
    Supervision,
    Variable,
    Version,
)
from orchestrator.spec.profile_entries import LimitsEntry, Parallel


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
    env: Mapping[Variable, Scalar] = {}


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
