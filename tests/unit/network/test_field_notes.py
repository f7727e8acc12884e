"""The two-Spark set-up of the field notes, from an inventory as a user writes it and the kind that ships."""

from __future__ import annotations

from pathlib import Path

import yaml

from orchestrator.facts.assumed import assumed_world
from orchestrator.network.environment import rank_environment
from orchestrator.network.netplan import netplan_text
from orchestrator.network.topology import plan_fabric
from orchestrator.spec.models import Gate
from orchestrator.spec.resolve import load_inventory
from tests.unit.network.clusters import deployment

INVENTORY = """
version: 1
hosts:
  spark-1: {kind: dgx-spark, address: 192.168.102.10}
  spark-2: {kind: dgx-spark, address: 192.168.102.11}
  spark-3: {kind: dgx-spark, address: spark-3.local}
links:
  - {ends: [spark-2.p1, spark-3.p1], subnets: [192.168.100.0/24, 192.168.101.0/24]}
"""
REQUIRED = {  # what the notes call critical, and what made NCCL's RoCE work without GPUDirect
    "MN_IF_NAME": "enp1s0f1np1",
    "NCCL_SOCKET_IFNAME": "enp1s0f1np1",
    "GLOO_SOCKET_IFNAME": "enp1s0f1np1",
    "UCX_NET_DEVICES": "enp1s0f1np1",
    "OMPI_MCA_btl_tcp_if_include": "enp1s0f1np1",
    "RAY_memory_monitor_refresh_ms": "0",
    "NCCL_NET_PLUGIN": "none",
    "NCCL_DMABUF_ENABLE": "0",
    "NCCL_NET_GDR_LEVEL": "LOC",
    "NCCL_NET_GDR_C2C": "0",
    "NCCL_IB_HCA": "=rocep1s0f1:1,roceP2p1s0f1:1",
}
NOTED_ADDRESSES = {
    "spark-2": {"enp1s0f1np1": "192.168.100.10/24", "enP2p1s0f1np1": "192.168.101.10/24"},
    "spark-3": {"enp1s0f1np1": "192.168.100.11/24", "enP2p1s0f1np1": "192.168.101.11/24"},
}


def test_all_that_the_notes_call_required_is_there(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(INVENTORY)
    cluster = load_inventory(path)
    world, fabric = assumed_world(cluster), plan_fabric(cluster)
    for rails, devices in (("dual", REQUIRED["NCCL_IB_HCA"]), ("single", "=rocep1s0f1:1")):
        deployed = deployment("spark-2", "spark-3", rails=rails, gate=Gate(rdma="required"))
        for name, addresses in NOTED_ADDRESSES.items():
            found = rank_environment(cluster, deployed, name, world)
            assert found.items() >= {**REQUIRED, "NCCL_IB_HCA": devices}.items()
            assert found["NCCL_NET"] == "IB"
            assert found["VLLM_HOST_IP"] == addresses["enp1s0f1np1"].partition("/")[0]
            assert "NCCL_IB_GID_INDEX" not in found
    for name, addresses in NOTED_ADDRESSES.items():
        stanzas = yaml.safe_load(netplan_text(cluster, fabric, name))["network"]["ethernets"]
        for netdev, address in addresses.items():
            assert stanzas[netdev]["addresses"] == [address]
            assert stanzas[netdev]["mtu"] == 9000
            assert stanzas[netdev]["link-local"] == []  # IPv6 off: stable GIDs, as the notes want
