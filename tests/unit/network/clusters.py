"""Clusters for network tests, made without files: a Spark's ports as they are on the real machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from itertools import combinations
from pathlib import Path
from typing import Any

from orchestrator.spec.models import (
    Cluster,
    Deployment,
    Endpoint,
    Gate,
    Half,
    Host,
    Kind,
    LimitsEntry,
    Link,
    Parallel,
    PortRef,
    PortSpec,
    Prepare,
    Profile,
    Sourced,
    Ssh,
)


def _sourced(values: Mapping[str, str]) -> dict[str, Sourced]:
    return {name: Sourced(value=value, source="test") for name, value in values.items()}


SPARK = Kind(
    version=1,
    name="dgx-spark",
    ports={
        f"p{n}": PortSpec(
            halves=(
                Half(netdev=f"enp1s0f{n}np{n}", rdma=f"rocep1s0f{n}"),
                Half(netdev=f"enP2p1s0f{n}np{n}", rdma=f"roceP2p1s0f{n}"),
            )
        )
        for n in (0, 1)
    },
    management=("enP7s7", "wlP9s9"),
    unified_memory=True,
    gpu_count=1,
    gdr=False,
    env=_sourced(
        {
            "NCCL_NET_PLUGIN": "none",
            "NCCL_DMABUF_ENABLE": "0",
            "NCCL_NET_GDR_LEVEL": "LOC",
            "NCCL_NET_GDR_C2C": "0",
            "RAY_memory_monitor_refresh_ms": "0",
        }
    ),
    rank_env_ring=_sourced({"NCCL_IB_SUBNET_AWARE_ROUTING": "1", "NCCL_IB_MERGE_NICS": "0"}),
    rank_env_wide_ring=_sourced({"NCCL_ALGO": "Ring"}),
    expect_host_gbps=180,
)
PLAIN = Kind(
    version=1,
    name="gpu-host",
    ports={"p0": PortSpec(halves=(Half(netdev="ens1f0np0", rdma="mlx5_0"),), gbps=100)},
    mtu=1500,
)


TRIPLE = PLAIN.model_copy(  # three ports of one function, as a full mesh of four needs
    update={
        "ports": {
            f"p{n}": PortSpec(halves=(Half(netdev=f"ens{n}np0", rdma=f"mlx5_{n}"),), gbps=100)
            for n in range(3)
        }
    }
)


def host(name: str, *, kind: Kind = SPARK, address: str = "", **more: Any) -> Host:
    settings: dict[str, Any] = {
        "ssh": Ssh(),
        "gpus": None,
        "runtime": "docker",
        "become": "sudo",
        "become_password": None,
        "models": "~/models",
        "ports": kind.ports,
        "management": kind.management,
        "prepare": Prepare(),
        "expect": kind.expect,
        "install_packages": False,
        "env": {},
    }
    return Host(name=name, kind=kind, address=address or f"{name}.lan", **{**settings, **more})


def end(text: str) -> PortRef:
    name, _, port = text.rpartition(".")
    return PortRef(host=name, port=port)


def cable(one: str, other: str, *subnets: str) -> Link:
    pinned = tuple(IPv4Network(subnet) for subnet in subnets) or None
    return Link(ends=(end(one), end(other)), subnets=pinned)


def switch(name: str, *ports: str, at_once: int | None = None) -> Link:
    return Link(ends=tuple(end(port) for port in ports), switch=name, at_once=at_once)


def deployment(*hosts: str, **more: Any) -> Deployment:
    settings: dict[str, Any] = {
        "profile": Profile(version=1, name="tiny", model="/models/tiny"),
        "parallel": Parallel(tensor=len(hosts)),
        "rails": "dual",
        "port": 8000,
        "gate": Gate(),
        "endpoint": Endpoint(),
        "after": (),
        "gpus": "all",
        "share_gpu": False,
        "memory_bytes": None,
        "limits": LimitsEntry(),
        "supervision": "none",
    }
    return Deployment(name="vl", hosts=hosts, **{**settings, **more})


def cluster(hosts: Sequence[Host | str], *links: Link, **more: Any) -> Cluster:
    made = [host(one) if isinstance(one, str) else one for one in hosts]
    settings: dict[str, Any] = {
        "root": Path("/nowhere"),
        "groups": {},
        "pool": IPv4Network("10.20.0.0/16"),
        "mtu": 9000,
        "adopt": (),
        "addresses": "static",
        "ipv6": False,
        "deployments": {},
    }
    named = {one.name: one for one in made}
    return Cluster(name="duo", hosts=named, links=links, **{**settings, **more})


def ring(count: int) -> list[Link]:
    """Port 0 of each host to port 1 of the next, as NVIDIA cables three Sparks."""
    return [cable(f"spark-{i + 1}.p0", f"spark-{(i + 1) % count + 1}.p1") for i in range(count)]


def names(count: int) -> list[str]:
    return [f"spark-{i + 1}" for i in range(count)]


def mesh_of_four() -> Cluster:
    """Four hosts of three ports, each cabled to each."""
    made = [host(f"box-{i}", kind=TRIPLE) for i in range(4)]
    free = {one.name: iter(one.ports) for one in made}
    pairs = combinations([one.name for one in made], 2)
    links = [cable(f"{a}.{next(free[a])}", f"{b}.{next(free[b])}") for a, b in pairs]
    return cluster(made, *links)
