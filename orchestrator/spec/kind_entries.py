"""What a kind of host may say: ports, halves, expectations, preparation.

Frozen types; descriptions end up in the JSON Schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from orchestrator.spec.fields import (
    GpuIndex,
    Name,
    Netdev,
    Size,
    Strict,
    Variable,
    Version,
)


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
    env: Mapping[Variable, Sourced] = {}
    rank_env_ring: Mapping[str, Sourced] = {}
    rank_env_wide_ring: Mapping[str, Sourced] = {}
    quirks: tuple[str, ...] = ()

    @property
    def expect(self) -> Expect:
        """What its keys `expect_…` say."""
        return Expect(**{name: getattr(self, f"expect_{name}") for name in Expect.model_fields})
