"""`--like` keeps what a user's inventory calls things, and exchanges only the hosts."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
import yaml

from orchestrator.errors import FilesWrong
from orchestrator.lab import inventory, like
from orchestrator.lab.layout import lay_out
from orchestrator.spec.resolve import load_inventory

BASE = ipaddress.IPv4Network("10.77.0.0/16")
USERS = """
version: 1
x-note: mine
defaults: {ssh: {user: tom, key: ~/.ssh/id_ed25519}, runtime: docker}
hosts:
  spark-1: {kind: dgx-spark, address: 192.168.102.10}
  spark-2: {kind: dgx-spark, address: 192.168.102.11, ssh: {jump: spark-1}}
  Tower_3:
    kind: gpu-host
    address: tower.lan
    gpus: [{index: 0}, {index: 1}]
    models: /scratch/models
    ports: {nic: {halves: [{netdev: enp65s0, rdma: mlx5_0}], gbps: 100}}
groups: {pair: [spark-1, spark-2]}
links:
  - {ends: [spark-1.p0, spark-2.p0], subnets: [192.168.100.0/24, 192.168.101.0/24]}
  - {switch: s1, ports: [spark-1.p1, Tower_3.nic]}
network: {pool: 10.21.0.0/16, mtu: 4200}
"""


@pytest.fixture
def model(tmp_path: Path) -> like.Model:
    (tmp_path / "inventory.yaml").write_text(USERS)
    return like.read(tmp_path / "inventory.yaml")


def test_names_ports_groups_links_and_network_stay(model: like.Model, tmp_path: Path) -> None:
    layout = lay_out("like", model.hosts, model.segments, BASE, model.ports)
    made = like.rehearsal(model, layout)
    users = yaml.safe_load(USERS)
    for key in ("groups", "links", "network"):
        assert made[key] == users[key]
    assert made["hosts"]["spark-2"] == {
        "kind": "lab", "address": layout.host("spark-2").address, "runtime": "docker",
    }  # fmt: skip
    assert made["hosts"]["Tower_3"]["gpus"] == [{"index": 0}, {"index": 1}]
    assert made["hosts"]["Tower_3"]["ports"] == {"nic": {"halves": [{"netdev": "enp65s0"}]}}
    assert made["defaults"]["ssh"]["user"] == "orch"
    assert "x-note" not in made


def test_what_it_writes_is_an_inventory(model: like.Model, tmp_path: Path) -> None:
    layout = lay_out("like", model.hosts, model.segments, BASE, model.ports)
    written = tmp_path / "lab.yaml"
    written.write_text(inventory.text("like", like.rehearsal(model, layout)))
    cluster = load_inventory(written)
    assert [host.kind.name for host in cluster.hosts.values()] == ["lab"] * 3
    assert cluster.hosts["Tower_3"].ports["nic"].halves[0].rdma is None


def test_cable_between_unlike_ports_has_the_halves_that_both_have(model: like.Model) -> None:
    layout = lay_out("like", model.hosts, model.segments, BASE, model.ports)
    assert [nic.netdev for nic in layout.host("Tower_3").nics] == ["eth0", "enp65s0"]
    assert [nic.netdev for nic in layout.host("spark-1").nics] == [
        "eth0", "enp1s0f0np0", "enP2p1s0f0np0", "enp1s0f1np1",
    ]  # fmt: skip


def test_the_labs_own_networks_keep_clear_of_the_users(model: like.Model) -> None:
    assert set(model.networks) == {"10.21.0.0/16", "192.168.100.0/24", "192.168.101.0/24"}


def test_what_is_not_rehearsed_is_said(model: like.Model) -> None:
    said = " ".join(like.not_rehearsed(model))
    assert "spark-2: ssh" in said
    assert "Tower_3: models" in said


def test_wrong_inventory_is_told_with_its_position(tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text(USERS.replace("kind: gpu-host", "kidn: gpu-host"))
    with pytest.raises(FilesWrong) as wrong:
        like.read(tmp_path / "inventory.yaml")
    assert any("kidn" in str(finding) for finding in wrong.value.findings)
