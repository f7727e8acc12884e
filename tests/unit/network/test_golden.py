"""Environment of real set-ups and the notes' netplan to the letter; addresses are in test_golden_netplan's table."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import pytest
import yaml

from orchestrator.errors import Refused
from orchestrator.network.environment import merge, rank_address, rank_environment
from orchestrator.network.netplan import netplan_text
from orchestrator.network.topology import plan_fabric
from orchestrator.spec.models import Gate, Profile
from tests.unit.network.clusters import cable, cluster, deployment, host, names, ring, switch
from tests.unit.network.worlds import NO_RDMA, RDMA, answers, network, with_addresses

KIND_ENV = {
    "NCCL_NET_PLUGIN": "none",
    "NCCL_DMABUF_ENABLE": "0",
    "NCCL_NET_GDR_LEVEL": "LOC",
    "NCCL_NET_GDR_C2C": "0",
    "RAY_memory_monitor_refresh_ms": "0",
}


def sockets(netdev: str) -> dict[str, str]:
    return {
        "NCCL_SOCKET_IFNAME": netdev,
        "GLOO_SOCKET_IFNAME": netdev,
        "TP_SOCKET_IFNAME": netdev,
        "UCX_NET_DEVICES": netdev,
        "OMPI_MCA_btl_tcp_if_include": netdev,
        "MN_IF_NAME": netdev,
    }


# --- the field notes: spark-2 ↔ spark-3 on port 1 -------------------------------------------------

NOTES = cluster(
    [host(f"spark-{i}", address=f"192.168.102.1{i - 1}") for i in (1, 2, 3)],
    cable("spark-2.p1", "spark-3.p1", "192.168.100.0/24", "192.168.101.0/24"),
)
NOTES_WORLD = {name: answers(network(one.address)) for name, one in NOTES.hosts.items()}

NOTES_NETPLAN = """\
# Written by orch from the links of its inventory. What you change here is lost with the next `orch up`:
# change the inventory instead, or set an interface in a file of your own to the same address and MTU.
network:
  version: 2
  ethernets:
    enp1s0f1np1: # p1, half 1
      renderer: networkd
      dhcp4: false
      dhcp6: false
      accept-ra: false
      link-local: []
      ignore-carrier: true # the address stays while a cable is out: GIDs and sockets outlive a blip
      optional: true # a boot does not wait for a cable
      mtu: 9000
      addresses: [192.168.100.11/24]
    enP2p1s0f1np1: # p1, half 2
      renderer: networkd
      dhcp4: false
      dhcp6: false
      accept-ra: false
      link-local: []
      ignore-carrier: true # the address stays while a cable is out: GIDs and sockets outlive a blip
      optional: true # a boot does not wait for a cable
      mtu: 9000
      addresses: [192.168.101.11/24]
"""


def test_the_notes_netplan_to_the_letter() -> None:
    fabric = plan_fabric(NOTES)
    assert netplan_text(NOTES, fabric, "spark-3") == NOTES_NETPLAN
    assert netplan_text(NOTES, fabric, "spark-2") == NOTES_NETPLAN.replace(".11/24", ".10/24")
    assert netplan_text(NOTES, fabric, "spark-1") == ""


def test_the_notes_environment_to_the_letter() -> None:
    deployed = deployment("spark-2", "spark-3", gate=Gate(rdma="required"))
    for name, address in (("spark-2", "192.168.100.10"), ("spark-3", "192.168.100.11")):
        assert rank_environment(NOTES, deployed, name, NOTES_WORLD) == {
            **KIND_ENV,
            **sockets("enp1s0f1np1"),
            "NCCL_IB_HCA": "=rocep1s0f1:1,roceP2p1s0f1:1",
            "NCCL_NET": "IB",
            "VLLM_HOST_IP": address,
        }


def test_a_single_rail_is_the_first_half() -> None:
    deployed = deployment("spark-2", "spark-3", rails="single")
    found = rank_environment(NOTES, deployed, "spark-2", NOTES_WORLD)
    assert found["NCCL_IB_HCA"] == "=rocep1s0f1:1"
    assert "NCCL_NET" not in found  # not required: TCP is a fallback


# --- two cables between two hosts -------------------------------------------------------------------


def test_a_pair_with_two_cables_uses_all_four_halves() -> None:
    both = cluster(
        names(2),
        cable("spark-1.p0", "spark-2.p0", "10.1.0.0/24", "10.1.1.0/24"),
        cable("spark-1.p1", "spark-2.p1", "10.1.2.0/24", "10.1.3.0/24"),
    )
    world = {name: answers(network()) for name in both.hosts}
    found = rank_environment(both, deployment("spark-1", "spark-2"), "spark-2", world)
    assert found == {
        **KIND_ENV,
        **sockets("enp1s0f0np0"),
        "NCCL_IB_HCA": "=rocep1s0f0:1,roceP2p1s0f0:1,rocep1s0f1:1,roceP2p1s0f1:1",
        "VLLM_HOST_IP": "10.1.0.11",
    }
    single = deployment("spark-1", "spark-2", rails="single")
    assert rank_environment(both, single, "spark-2", world)["NCCL_IB_HCA"] == "=rocep1s0f0:1"


# --- rings ------------------------------------------------------------------------------------------

RING_ENV = {"NCCL_IB_SUBNET_AWARE_ROUTING": "1", "NCCL_IB_MERGE_NICS": "0"}


P0, P1 = "rocep1s0f0:1,roceP2p1s0f0:1", "rocep1s0f1:1,roceP2p1s0f1:1"


@pytest.mark.parametrize("count", [3, 4])
def test_a_ring_meets_on_management_and_moves_data_on_every_cable(count: int) -> None:
    sparks = [host(f"spark-{i + 1}", address=f"192.168.102.1{i}") for i in range(count)]
    circle = cluster(sparks, *ring(count))
    world = {one.name: answers(network(one.address)) for one in sparks}
    deployed = deployment(*names(count), gate=Gate(rdma="required"))
    for one in sparks:
        assert rank_environment(circle, deployed, one.name, world) == {
            **KIND_ENV,
            **RING_ENV,
            **({"NCCL_ALGO": "Ring"} if count > 3 else {}),
            **sockets("enP7s7"),
            "NCCL_IB_HCA": f"={P0},{P1}",
            "NCCL_NET": "IB",
            "VLLM_HOST_IP": one.address,
        }


def test_two_of_a_ring_are_a_pair() -> None:
    circle = cluster(names(4), *ring(4))
    world = {name: answers(network()) for name in circle.hosts}
    deployed = deployment("spark-1", "spark-2")
    found = rank_environment(circle, deployed, "spark-2", world)
    assert found["NCCL_SOCKET_IFNAME"] == "enp1s0f1np1"  # port 1 there, port 0 on spark-1
    assert found["NCCL_IB_HCA"] == "=rocep1s0f1:1,roceP2p1s0f1:1"
    assert "NCCL_IB_MERGE_NICS" not in found
    other = rank_environment(circle, deployed, "spark-1", world)
    assert other["NCCL_SOCKET_IFNAME"] == "enp1s0f0np0"
    assert other["NCCL_IB_HCA"] == "=rocep1s0f0:1,roceP2p1s0f0:1"


# --- a switch ---------------------------------------------------------------------------------------


def test_a_switch_of_three() -> None:
    star = cluster(
        names(3),
        switch("s1", "spark-1.p0", "spark-2.p0", "spark-3.p0"),
        pool=IPv4Network("10.20.0.0/23"),
    )
    world = {name: answers(network()) for name in star.hosts}
    assert rank_environment(star, deployment(*names(3)), "spark-3", world) == {
        **KIND_ENV,
        **sockets("enp1s0f0np0"),
        "NCCL_IB_HCA": "=rocep1s0f0:1,roceP2p1s0f0:1",
        "VLLM_HOST_IP": "10.20.0.12",
    }


# --- what else decides -------------------------------------------------------------------------------


def test_no_rdma_device_means_sockets_and_says_so() -> None:
    world = {name: answers(network(), NO_RDMA) for name in NOTES.hosts}
    found = rank_environment(NOTES, deployment("spark-2", "spark-3"), "spark-2", world)
    assert found["NCCL_IB_DISABLE"] == "1"
    assert "NCCL_IB_HCA" not in found


def test_required_rdma_without_a_device_is_refused() -> None:
    world = {name: answers(network(), NO_RDMA) for name in NOTES.hosts}
    deployed = deployment("spark-2", "spark-3", gate=Gate(rdma="required"))
    with pytest.raises(Refused, match="requires RDMA, and spark-2 has no RDMA device for enp1s0f1"):
        rank_environment(NOTES, deployed, "spark-2", world)


def test_rdma_off_takes_no_device() -> None:
    deployed = deployment("spark-2", "spark-3", gate=Gate(rdma="off"))
    found = rank_environment(NOTES, deployed, "spark-2", NOTES_WORLD)
    assert found["NCCL_IB_DISABLE"] == "1"
    assert "NCCL_IB_HCA" not in found


def test_devices_are_what_the_host_has_and_not_what_its_kind_says() -> None:
    devices = tuple(
        replace(one, name=f"mlx5_{index}", port=2) for index, one in enumerate(RDMA.devices)
    )
    renamed = NOTES_WORLD | {"spark-2": answers(network(), replace(RDMA, devices=devices))}
    found = rank_environment(NOTES, deployment("spark-2", "spark-3"), "spark-2", renamed)
    assert found["NCCL_IB_HCA"] == "=mlx5_2:2,mlx5_3:2"


def test_a_gang_of_one_needs_no_fabric() -> None:
    found = rank_environment(NOTES, deployment("spark-1"), "spark-1", NOTES_WORLD)
    assert found == {**KIND_ENV, **sockets("enP7s7"), "VLLM_HOST_IP": "192.168.102.10"}


def test_debug_adds_nccls_logging() -> None:
    debug = Profile(version=1, name="tiny", model="/m", debug=True)
    deployed = deployment("spark-2", "spark-3", profile=debug)
    found = rank_environment(NOTES, deployed, "spark-2", NOTES_WORLD)
    assert found["NCCL_DEBUG"] == "INFO"
    assert found["NCCL_DEBUG_SUBSYS"] == "INIT,NET,ENV"


def test_the_hosts_own_settings_win() -> None:
    odd = cluster(
        [host("spark-2", env={"NCCL_IB_HCA": "=mine", "X": "1"}), "spark-3"],
        cable("spark-2.p1", "spark-3.p1"),
    )
    world = {name: answers(network()) for name in odd.hosts}
    found = rank_environment(odd, deployment("spark-2", "spark-3"), "spark-2", world)
    assert (found["NCCL_IB_HCA"], found["X"]) == ("=mine", "1")


def test_layers_merge_in_order_and_null_takes_away() -> None:
    assert merge({"A": "1", "B": 2}, {"A": True, "C": 0.5}, {"B": None}) == {"A": "1", "C": "0.5"}


def test_nobody_ever_pins_a_gid_index() -> None:
    for count in (3, 4):
        circle = cluster(names(count), *ring(count))
        world = {name: answers(network()) for name in circle.hosts}
        for name in circle.hosts:
            found = rank_environment(circle, deployment(*names(count)), name, world)
            assert "NCCL_IB_GID_INDEX" not in found


def test_link_local_addresses_come_from_the_host() -> None:
    local = cluster(names(2), cable("spark-1.p1", "spark-2.p1"), addresses="link-local")
    world = {
        "spark-1": answers(with_addresses(network(), enp1s0f1np1="169.254.3.4/16")),
        "spark-2": answers(with_addresses(network(), enp1s0f1np1="169.254.9.9/16")),
    }
    assert rank_address(local, deployment("spark-1", "spark-2"), "spark-2", world) == "169.254.9.9"
    text = netplan_text(local, plan_fabric(local), "spark-1")
    first = yaml.safe_load(text)["network"]["ethernets"]["enp1s0f1np1"]
    assert first["link-local"] == ["ipv4"]
    assert "addresses" not in first


def test_network_manager_gets_no_key_that_it_can_not_do() -> None:
    text = netplan_text(NOTES, plan_fabric(NOTES), "spark-2", renderer="NetworkManager")
    first = yaml.safe_load(text)["network"]["ethernets"]["enp1s0f1np1"]
    assert first["renderer"] == "NetworkManager"
    assert "ignore-carrier" not in first
    assert first["networkmanager"] == {"passthrough": {"connection.autoconnect-priority": "10"}}
