"""Netplan of every topology, host by host: addresses as NVIDIA's rules give them, written down by hand.

A /24 for each half of each cable (NVIDIA, multi-sparks-through-switch: two interfaces in one subnet conflict),
.10 and .11 at the ends of a cable (connect-two-sparks), .10 and on by place in the inventory on a switch, MTU 9000.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from typing import Any

import pytest
import yaml

from orchestrator.network.netplan import netplan_text
from orchestrator.network.topology import plan_fabric
from orchestrator.spec.models import Cluster
from tests.unit.network.clusters import PLAIN, cable, cluster, host, mesh_of_four, names, switch

A0, B0 = "enp1s0f0np0", "enP2p1s0f0np0"  # port 0, its halves
A1, B1 = "enp1s0f1np1", "enP2p1s0f1np1"  # port 1
Golden = Mapping[str, Mapping[str, str]]  # host → netdev → address

PAIR = cluster(names(2), cable("spark-1.p1", "spark-2.p1", "192.168.100.0/24", "192.168.101.0/24"))
PAIR_WANTED: Golden = {
    "spark-1": {A1: "192.168.100.10/24", B1: "192.168.101.10/24"},
    "spark-2": {A1: "192.168.100.11/24", B1: "192.168.101.11/24"},
}

TWO_CABLES = cluster(
    names(2),
    cable("spark-1.p0", "spark-2.p0", "192.168.0.0/24", "192.168.1.0/24"),
    cable("spark-1.p1", "spark-2.p1", "192.168.2.0/24", "192.168.3.0/24"),
)
TWO_CABLES_WANTED: Golden = {
    "spark-1": {
        A0: "192.168.0.10/24",
        B0: "192.168.1.10/24",
        A1: "192.168.2.10/24",
        B1: "192.168.3.10/24",
    },
    "spark-2": {
        A0: "192.168.0.11/24",
        B0: "192.168.1.11/24",
        A1: "192.168.2.11/24",
        B1: "192.168.3.11/24",
    },
}

# NVIDIA, connect-three-sparks: port 0 of each to port 1 of the next; 192.168.0 to 192.168.5 for the six halves.
RING_3 = cluster(
    names(3),
    cable("spark-1.p0", "spark-2.p1", "192.168.0.0/24", "192.168.1.0/24"),
    cable("spark-2.p0", "spark-3.p1", "192.168.2.0/24", "192.168.3.0/24"),
    cable("spark-3.p0", "spark-1.p1", "192.168.4.0/24", "192.168.5.0/24"),
)
RING_3_WANTED: Golden = {
    "spark-1": {
        A0: "192.168.0.10/24",
        B0: "192.168.1.10/24",
        A1: "192.168.4.10/24",
        B1: "192.168.5.10/24",
    },
    "spark-2": {
        A0: "192.168.2.10/24",
        B0: "192.168.3.10/24",
        A1: "192.168.0.11/24",
        B1: "192.168.1.11/24",
    },
    "spark-3": {
        A0: "192.168.4.11/24",
        B0: "192.168.5.11/24",
        A1: "192.168.2.11/24",
        B1: "192.168.3.11/24",
    },
}

RING_4 = cluster(
    names(4),
    cable("spark-1.p0", "spark-2.p1", "192.168.0.0/24", "192.168.1.0/24"),
    cable("spark-2.p0", "spark-3.p1", "192.168.2.0/24", "192.168.3.0/24"),
    cable("spark-3.p0", "spark-4.p1", "192.168.4.0/24", "192.168.5.0/24"),
    cable("spark-4.p0", "spark-1.p1", "192.168.6.0/24", "192.168.7.0/24"),
)
RING_4_WANTED: Golden = {
    "spark-1": {
        A0: "192.168.0.10/24",
        B0: "192.168.1.10/24",
        A1: "192.168.6.10/24",
        B1: "192.168.7.10/24",
    },
    "spark-2": {
        A0: "192.168.2.10/24",
        B0: "192.168.3.10/24",
        A1: "192.168.0.11/24",
        B1: "192.168.1.11/24",
    },
    "spark-3": {
        A0: "192.168.4.10/24",
        B0: "192.168.5.10/24",
        A1: "192.168.2.11/24",
        B1: "192.168.3.11/24",
    },
    "spark-4": {
        A0: "192.168.6.11/24",
        B0: "192.168.7.11/24",
        A1: "192.168.4.11/24",
        B1: "192.168.5.11/24",
    },
}

SWITCH_3 = cluster(
    names(3), switch("s1", *(f"spark-{i}.p0" for i in (1, 2, 3))), pool=IPv4Network("10.20.0.0/23")
)
SWITCH_3_WANTED: Golden = {
    "spark-1": {A0: "10.20.0.10/24", B0: "10.20.1.10/24"},
    "spark-2": {A0: "10.20.0.11/24", B0: "10.20.1.11/24"},
    "spark-3": {A0: "10.20.0.12/24", B0: "10.20.1.12/24"},
}
SWITCH_8 = cluster(
    names(8),
    switch("s1", *(f"spark-{i}.p0" for i in range(1, 9))),
    pool=IPv4Network("10.20.0.0/23"),
)
SWITCH_8_WANTED: Golden = {
    "spark-1": {A0: "10.20.0.10/24", B0: "10.20.1.10/24"},
    "spark-2": {A0: "10.20.0.11/24", B0: "10.20.1.11/24"},
    "spark-3": {A0: "10.20.0.12/24", B0: "10.20.1.12/24"},
    "spark-4": {A0: "10.20.0.13/24", B0: "10.20.1.13/24"},
    "spark-5": {A0: "10.20.0.14/24", B0: "10.20.1.14/24"},
    "spark-6": {A0: "10.20.0.15/24", B0: "10.20.1.15/24"},
    "spark-7": {A0: "10.20.0.16/24", B0: "10.20.1.16/24"},
    "spark-8": {A0: "10.20.0.17/24", B0: "10.20.1.17/24"},
}

# A Spark and a tower with a NIC of one function: one subnet; the Spark's second half stays as it is.
MIXED = cluster(
    ["spark-1", host("tower", kind=PLAIN)], cable("spark-1.p0", "tower.p0", "10.1.0.0/24")
)
MIXED_WANTED: Golden = {
    "spark-1": {A0: "10.1.0.10/24"},
    "tower": {"ens1f0np0": "10.1.0.11/24"},
}
ALL = {
    "pair": (PAIR, PAIR_WANTED),
    "pair with two cables": (TWO_CABLES, TWO_CABLES_WANTED),
    "ring of 3": (RING_3, RING_3_WANTED),
    "ring of 4": (RING_4, RING_4_WANTED),
    "switch of 3": (SWITCH_3, SWITCH_3_WANTED),
    "switch of 8": (SWITCH_8, SWITCH_8_WANTED),
    "mixed": (MIXED, MIXED_WANTED),
}


def stanza(address: str) -> dict[str, Any]:
    return {
        "renderer": "networkd",
        "dhcp4": False,
        "dhcp6": False,
        "accept-ra": False,
        "link-local": [],
        "ignore-carrier": True,
        "optional": True,
        "mtu": 9000,
        "addresses": [address],
    }


@pytest.mark.parametrize("name", ALL)
def test_every_host_gets_its_addresses_and_nothing_else(name: str) -> None:
    made, wanted = ALL[name]
    fabric = plan_fabric(made)
    for one in made.hosts:
        text = netplan_text(made, fabric, one)
        ethernets = {netdev: stanza(address) for netdev, address in wanted[one].items()}
        assert yaml.safe_load(text) == {"network": {"version": 2, "ethernets": ethernets}}, one


@pytest.mark.parametrize("name", ALL)
def test_halves_of_a_host_never_share_a_subnet(name: str) -> None:
    _, wanted = ALL[name]
    for addresses in wanted.values():
        subnets = [address.rpartition(".")[0] for address in addresses.values()]
        assert len(set(subnets)) == len(subnets)


def halves(made: Cluster, one: str) -> Sequence[str]:
    fabric = plan_fabric(made)
    return [member.netdev for _, member in fabric.of_host(one)]


def test_a_chain_leaves_its_ends_bare() -> None:
    chain = cluster(names(3), cable("spark-1.p0", "spark-2.p1"), cable("spark-2.p0", "spark-3.p1"))
    assert [sorted(halves(chain, name)) for name in names(3)] == [
        sorted([A0, B0]),
        sorted([A0, B0, A1, B1]),
        sorted([A1, B1]),
    ]


def test_a_mesh_of_four_has_a_subnet_for_each_of_six_cables() -> None:
    made = mesh_of_four()
    fabric = plan_fabric(made)
    assert len({segment.subnet for segment in fabric.segments}) == 6
    assert all(len(fabric.of_host(name)) == 3 for name in made.hosts)
    assert fabric.kind_of(list(made.hosts)) == "mesh"
