"""Netplan of every topology, host by host: addresses as NVIDIA's rules give them, written down by hand.

A /24 for each half of each cable (NVIDIA, multi-sparks-through-switch: two interfaces in one subnet conflict),
.10 and .11 at the ends of a cable (connect-two-sparks), .10 and on by place in the inventory on a switch, MTU 9000.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network
from itertools import pairwise
from typing import Any

import pytest
import yaml

from orchestrator.network.netplan import netplan_text
from orchestrator.network.topology import plan_fabric
from orchestrator.spec.models import Cluster, Link
from tests.unit.network.clusters import PLAIN, cable, cluster, host, mesh_of_four, names, switch

# The halves of a Spark's ports: A0 and B0 of port 0, A1 and B1 of port 1; T0 is the tower's only function.
NETDEVS = {
    "A0": "enp1s0f0np0",
    "B0": "enP2p1s0f0np0",
    "A1": "enp1s0f1np1",
    "B1": "enP2p1s0f1np1",
    "T0": "ens1f0np0",
}


def around(count: int) -> list[Link]:
    """NVIDIA, connect-three-sparks: port 0 of each to port 1 of the next; 192.168.0 and on for the halves."""
    ends = [*names(count), names(1)[0]]
    return [
        cable(f"{one}.p0", f"{other}.p1", f"192.168.{2 * at}.0/24", f"192.168.{2 * at + 1}.0/24")
        for at, (one, other) in enumerate(pairwise(ends))
    ]


def on_a_switch(count: int) -> Cluster:
    ports = [f"{name}.p0" for name in names(count)]
    return cluster(names(count), switch("s1", *ports), pool=IPv4Network("10.20.0.0/23"))


CLUSTERS = {
    "pair": cluster(
        names(2), cable("spark-1.p1", "spark-2.p1", "192.168.100.0/24", "192.168.101.0/24")
    ),
    "two cables": cluster(
        names(2),
        cable("spark-1.p0", "spark-2.p0", "192.168.0.0/24", "192.168.1.0/24"),
        cable("spark-1.p1", "spark-2.p1", "192.168.2.0/24", "192.168.3.0/24"),
    ),
    "ring of 3": cluster(names(3), *around(3)),
    "ring of 4": cluster(names(4), *around(4)),
    "switch of 3": on_a_switch(3),
    "switch of 8": on_a_switch(8),
    # A Spark and a tower with a NIC of one function: one subnet; the Spark's second half stays as it is.
    "mixed": cluster(
        ["spark-1", host("tower", kind=PLAIN)], cable("spark-1.p0", "tower.p0", "10.1.0.0/24")
    ),
}
# Every address that there is, each in a /24; the only place where one is written down.
TABLE = """
pair         spark-1  A1 192.168.100.10  B1 192.168.101.10
pair         spark-2  A1 192.168.100.11  B1 192.168.101.11

two cables   spark-1  A0 192.168.0.10  B0 192.168.1.10  A1 192.168.2.10  B1 192.168.3.10
two cables   spark-2  A0 192.168.0.11  B0 192.168.1.11  A1 192.168.2.11  B1 192.168.3.11

ring of 3    spark-1  A0 192.168.0.10  B0 192.168.1.10  A1 192.168.4.10  B1 192.168.5.10
ring of 3    spark-2  A0 192.168.2.10  B0 192.168.3.10  A1 192.168.0.11  B1 192.168.1.11
ring of 3    spark-3  A0 192.168.4.11  B0 192.168.5.11  A1 192.168.2.11  B1 192.168.3.11

ring of 4    spark-1  A0 192.168.0.10  B0 192.168.1.10  A1 192.168.6.10  B1 192.168.7.10
ring of 4    spark-2  A0 192.168.2.10  B0 192.168.3.10  A1 192.168.0.11  B1 192.168.1.11
ring of 4    spark-3  A0 192.168.4.10  B0 192.168.5.10  A1 192.168.2.11  B1 192.168.3.11
ring of 4    spark-4  A0 192.168.6.11  B0 192.168.7.11  A1 192.168.4.11  B1 192.168.5.11

switch of 3  spark-1  A0 10.20.0.10  B0 10.20.1.10
switch of 3  spark-2  A0 10.20.0.11  B0 10.20.1.11
switch of 3  spark-3  A0 10.20.0.12  B0 10.20.1.12

switch of 8  spark-1  A0 10.20.0.10  B0 10.20.1.10
switch of 8  spark-2  A0 10.20.0.11  B0 10.20.1.11
switch of 8  spark-3  A0 10.20.0.12  B0 10.20.1.12
switch of 8  spark-4  A0 10.20.0.13  B0 10.20.1.13
switch of 8  spark-5  A0 10.20.0.14  B0 10.20.1.14
switch of 8  spark-6  A0 10.20.0.15  B0 10.20.1.15
switch of 8  spark-7  A0 10.20.0.16  B0 10.20.1.16
switch of 8  spark-8  A0 10.20.0.17  B0 10.20.1.17

mixed        spark-1  A0 10.1.0.10
mixed        tower    T0 10.1.0.11
"""
WIDTH = TABLE.index("spark-1") - 1  # of the first column


def wanted_of(topology: str) -> dict[str, dict[str, str]]:
    """Host → netdev → address, as the table has them."""
    found = {}
    for line in filter(None, TABLE.splitlines()):
        host_name, *words = line[WIDTH:].split()
        if line[:WIDTH].strip() == topology:
            pairs = zip(words[::2], words[1::2], strict=True)
            found[host_name] = {NETDEVS[short]: f"{address}/24" for short, address in pairs}
    return found


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


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_host_gets_its_addresses_and_nothing_else(name: str) -> None:
    made, wanted = CLUSTERS[name], wanted_of(name)
    assert wanted.keys() == made.hosts.keys()
    fabric = plan_fabric(made)
    for one in made.hosts:
        text = netplan_text(made, fabric, one)
        ethernets = {netdev: stanza(address) for netdev, address in wanted[one].items()}
        assert yaml.safe_load(text) == {"network": {"version": 2, "ethernets": ethernets}}, one


@pytest.mark.parametrize("name", CLUSTERS)
def test_halves_of_a_host_never_share_a_subnet(name: str) -> None:
    for addresses in wanted_of(name).values():
        subnets = [address.rpartition(".")[0] for address in addresses.values()]
        assert len(set(subnets)) == len(subnets)


def halves(made: Cluster, one: str) -> Sequence[str]:
    fabric = plan_fabric(made)
    return [member.netdev for _, member in fabric.of_host(one)]


def test_a_chain_leaves_its_ends_bare() -> None:
    chain = cluster(names(3), cable("spark-1.p0", "spark-2.p1"), cable("spark-2.p0", "spark-3.p1"))
    short = {netdev: name for name, netdev in NETDEVS.items()}
    told = [sorted(short[one] for one in halves(chain, name)) for name in names(3)]
    assert told == [["A0", "B0"], ["A0", "A1", "B0", "B1"], ["A1", "B1"]]


def test_a_mesh_of_four_has_a_subnet_for_each_of_six_cables() -> None:
    made = mesh_of_four()
    fabric = plan_fabric(made)
    assert len({segment.subnet for segment in fabric.segments}) == 6
    assert all(len(fabric.of_host(name)) == 3 for name in made.hosts)
    assert fabric.kind_of(list(made.hosts)) == "mesh"
