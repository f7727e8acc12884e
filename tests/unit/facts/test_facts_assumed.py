"""What is assumed of hosts that nobody asked: what the files say, and Unknown for the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import facts
from orchestrator.errors import Unknown
from orchestrator.facts.assumed import assumed_world
from tests.unit.steps.clusters import cluster


def test_a_spark_is_assumed_as_its_kind_says(tmp_path: Path) -> None:
    world = assumed_world(cluster(tmp_path))
    spark = world["spark-2"]
    rdma = spark.get(facts.ReadRdma())
    assert {one.name: one.state for one in rdma.devices} == {
        "rocep1s0f0": "DOWN",
        "roceP2p1s0f0": "DOWN",
        "rocep1s0f1": "ACTIVE",
        "roceP2p1s0f1": "ACTIVE",
    }
    assert rdma.dev_infiniband and rdma.memlock_unlimited
    assert {one.active_mtu for one in rdma.devices} == {4096}
    network = spark.get(facts.ReadNetwork())
    assert (network.ssh_netdev, network.ssh_address) == ("enP7s7", "192.168.102.11")
    assert network.netdevs["enP7s7"].addresses == ("192.168.102.11/32",)
    assert network.netdevs["enp1s0f1np1"].mtu == 9000
    assert [gpu.index for gpu in spark.get(facts.ReadGpus()).gpus] == [0]
    assert spark.get(facts.ReadContainerEngine("docker")).usable
    assert spark.get(facts.ReadContainers("docker", "duo")) == ()


def test_what_no_file_says_is_unknown(tmp_path: Path) -> None:
    world = assumed_world(cluster(tmp_path))
    for query in (facts.Identify(), facts.ReadMemory(), facts.ReadImage("docker", "x")):
        with pytest.raises(Unknown) as caught:
            world["spark-2"].get(query)
        assert "orch plan" in caught.value.hint


def test_a_host_without_known_netdev_shows_a_word_for_it(tmp_path: Path) -> None:
    world = assumed_world(cluster(tmp_path))
    assert world["hpc-7"].get(facts.ReadNetwork()).ssh_netdev == "<management netdev of hpc-7>"
    assert [gpu.index for gpu in world["hpc-7"].get(facts.ReadGpus()).gpus] == [0, 1]
    assert world["rehearsal"].get(facts.ReadRdma()).devices == ()
    assert world["rehearsal"].get(facts.ReadGpus()).gpus == ()


@pytest.mark.parametrize(
    ("mtu", "active"), [(9000, 4096), (4200, 4096), (2200, 2048), (1500, 1024)]
)
def test_the_roce_mtu_that_fits(tmp_path: Path, mtu: int, active: int) -> None:
    of = cluster(tmp_path).model_copy(update={"mtu": mtu})
    rdma = assumed_world(of)["spark-2"].get(facts.ReadRdma())
    assert {one.active_mtu for one in rdma.devices} == {active}
