"""What a host is, from what it has; and the inventory that is written of it loads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from orchestrator.cli.init_hosts import known, provisional
from orchestrator.errors import FilesWrong
from orchestrator.facts.answers import Gpu, Gpus, Rdma, RdmaDevice
from orchestrator.network.discovery import Discovery, Plugged
from orchestrator.network.recognise import Recognised, recognise
from orchestrator.network.written import WrittenHost, inventory_text
from orchestrator.spec.resolve import load_inventory
from tests.unit.network.clusters import end
from tests.unit.network.worlds import NO_RDMA, RDMA, identity, netdev, network


def gpu(name: str, index: int = 0, memory: int | None = None) -> Gpu:
    return Gpu(index, f"GPU-{index}", name, memory, None, None, "580")


GB10 = Gpus((gpu("NVIDIA GB10"),))
CARDS = Gpus((gpu("RTX 4090", 0, 24 * 2**30), gpu("RTX 3090 Ti", 1, 24 * 2**30)))
TOWER = replace(
    network(),
    netdevs={
        "lo": netdev("lo"),
        "docker0": netdev("docker0"),
        "wlp2s0": netdev("wlp2s0", pci="0000:02:00.0"),
        "enP7s7": netdev("enP7s7", "192.168.102.10/24", pci="0000:03:00.0"),
        "ens1f0np0": netdev("ens1f0np0", pci="0000:41:00.0", speed_mbps=100_000),
        "ens1f1np1": netdev("ens1f1np1", pci="0000:41:00.1", speed_mbps=None),
    },
)
MLX5 = RdmaDevice("mlx5_0", 1, "ens1f0np0", "ACTIVE", 100.0, 4096, "Ethernet", "22.1", ())


def test_a_spark_is_known_by_its_ports_and_gpu() -> None:
    found = recognise(known(), identity(), network(), RDMA, GB10)
    assert (found.kind, found.ports, found.gpus) == ("dgx-spark", None, ())
    assert "NVIDIA GB10" in found.why
    assert found.also == ("asus-gx10",)
    assert found.netdevs(known().kinds)["p1"] == ("enp1s0f1np1", "enP2p1s0f1np1")


def test_without_nvidia_smi_the_ports_are_enough() -> None:
    assert recognise(known(), identity(), network(), None, None).kind == "dgx-spark"


def test_the_same_names_with_another_gpu_are_no_spark() -> None:
    assert recognise(known(), identity(), network(), RDMA, CARDS).kind == "gpu-host"


def test_a_lab_host_says_so() -> None:
    assert recognise(known(), identity(in_lab=True), network(), NO_RDMA, Gpus(())).kind == "lab"


def test_a_tower_gets_its_cards_as_ports_and_its_gpus() -> None:
    found = recognise(known(), identity(), TOWER, Rdma((MLX5,), True, True), CARDS)
    assert found.kind == "gpu-host"
    assert found.ports is not None
    halves = {name: port.halves[0] for name, port in found.ports.items()}
    assert {name: (one.netdev, one.rdma) for name, one in halves.items()} == {
        "p0": ("ens1f0np0", "mlx5_0"),
        "p1": ("ens1f1np1", None),
    }
    assert found.ports["p0"].gbps == 100
    assert [one.name for one in found.gpus] == ["RTX 4090", "RTX 3090 Ti"]


def test_what_is_written_loads_and_says_the_same(tmp_path: Path) -> None:
    spark = Recognised("dgx-spark", "it has GB10", ("asus-gx10",))
    tower = recognise(known(), identity(), TOWER, Rdma((MLX5,), True, True), CARDS)
    cabled = Discovery(
        (
            Plugged((end("spark-1.p0"), end("tower.p0"))),
            Plugged((end("on.p1"), end("spark-1.p1")), "leaf01"),
        ),
        (end("tower.p1"),),
        ("on",),
    )
    hosts = [
        WrittenHost("spark-1", "192.168.1.101", spark),
        WrittenHost("tower", "tower.lan", tower, {"user": "root"}),
        WrittenHost("on", "fe80::1", spark),
    ]
    text = inventory_text(hosts, cabled, {"user": "me", "key": "~/.ssh/id"})
    path = tmp_path / "inventory.yaml"
    path.write_text(text)
    cluster = load_inventory(path)
    assert {name: one.kind.name for name, one in cluster.hosts.items()} == {
        "spark-1": "dgx-spark",
        "tower": "gpu-host",
        "on": "dgx-spark",
    }
    assert [one.ssh.user for one in cluster.hosts.values()] == ["me", "root", "me"]
    assert [(one.switch, [str(ref) for ref in one.ends]) for one in cluster.links] == [
        (None, ["spark-1.p0", "tower.p0"]),
        ("leaf01", ["on.p1", "spark-1.p1"]),
    ]
    assert "# tower.p1: nobody was seen" in text
    assert "# on could not look" in text
    assert "asus-gx10 fits too" in text


def test_nothing_seen_leaves_an_empty_list_with_a_word(tmp_path: Path) -> None:
    spark = Recognised("dgx-spark", "it has GB10")
    text = inventory_text([WrittenHost("a", "a.lan", spark)], Discovery((), (), ()), {})
    assert yaml.safe_load(text)["links"] == []
    assert "write the cables down" in text


def test_words_are_hosts_with_users() -> None:
    made = provisional(("me@spark-1.lan", "192.168.1.7", "spark-1.other"), {"user": "tom"})
    assert [(name, one.address, one.ssh.user) for name, one in made.hosts.items()] == [
        ("spark-1", "spark-1.lan", "me"),
        ("host-2", "192.168.1.7", "tom"),
        ("spark-1.other", "spark-1.other", "tom"),
    ]


@pytest.mark.parametrize("words", [("",), ("@spark",), ("me@",), ("a", "a")])
def test_words_that_are_no_hosts_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(FilesWrong):
        provisional(words, {})
