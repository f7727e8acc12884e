"""The kinds that ship: each loads, says where its numbers come from, and pins what the field learned."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import data
from orchestrator.spec.models import Cluster
from orchestrator.spec.resolve import load_inventory

KINDS = sorted(name.removesuffix(".yaml") for name in data.listing("kinds"))


def loaded(tmp_path: Path, kind: str) -> Cluster:
    path = tmp_path / "inventory.yaml"
    path.write_text(f"version: 1\nhosts:\n  a: {{kind: {kind}}}\n")
    return load_inventory(path)


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_loads_and_names_its_sources(tmp_path: Path, name: str) -> None:
    kind = loaded(tmp_path, name).hosts["a"].kind
    assert kind.name == name
    for variable, value in {**kind.env, **kind.rank_env_ring}.items():
        assert len(value.source) > 10, variable


def test_no_kind_pins_a_gid_index(tmp_path: Path) -> None:
    for name in KINDS:
        kind = loaded(tmp_path, name).hosts["a"].kind
        assert "NCCL_IB_GID_INDEX" not in {**kind.env, **kind.rank_env_ring}


def test_a_spark_has_what_the_field_notes_call_required(tmp_path: Path) -> None:
    kind = loaded(tmp_path, "dgx-spark").hosts["a"].kind
    values = {name: str(one.value) for name, one in kind.env.items()}
    for name, value in {
        "NCCL_NET_PLUGIN": "none",
        "NCCL_DMABUF_ENABLE": "0",
        "NCCL_NET_GDR_LEVEL": "LOC",
        "NCCL_NET_GDR_C2C": "0",
        "RAY_memory_monitor_refresh_ms": "0",
        "NCCL_IB_MERGE_NICS": "1",
    }.items():
        assert values[name] == value
    assert {name: one.value for name, one in kind.rank_env_ring.items()} == {
        "NCCL_IB_SUBNET_AWARE_ROUTING": 1,
        "NCCL_IB_MERGE_NICS": 0,
        "NCCL_NET_PLUGIN": "none",
    }


def test_a_lab_host_looks_like_a_spark_and_leaves_the_kernel_alone(tmp_path: Path) -> None:
    spark = loaded(tmp_path, "dgx-spark").hosts["a"].kind
    lab = loaded(tmp_path, "lab").hosts["a"].kind
    for name, port in spark.ports.items():
        assert [half.netdev for half in lab.ports[name].halves] == [
            half.netdev for half in port.halves
        ]
        assert {half.rdma for half in lab.ports[name].halves} == {None}
    assert (lab.gpu_count, lab.logical_gpus, lab.gdr, lab.mtu) == (1, True, False, 9000)
    assert not (lab.prepare.swap_off or lab.prepare.drop_caches)
    assert lab.prepare.read_ahead_kb is None


def test_a_gx10_is_a_spark(tmp_path: Path) -> None:
    spark = loaded(tmp_path, "dgx-spark").hosts["a"].kind
    gx10 = loaded(tmp_path, "asus-gx10").hosts["a"].kind
    assert (gx10.ports, gx10.env, gx10.prepare) == (spark.ports, spark.env, spark.prepare)
