"""Layouts are sound whatever is asked: own addresses, no port twice, no overlap."""

from __future__ import annotations

import ipaddress
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import FilesWrong
from orchestrator.lab.layout import (
    End,
    Segment,
    Topology,
    cabling,
    free_base,
    from_json,
    lay_out,
)

BASE = ipaddress.IPv4Network("10.77.0.0/16")


def names(count: int) -> tuple[str, ...]:
    return tuple(f"spark-{number}" for number in range(1, count + 1))


@given(st.integers(3, 60), st.sampled_from(["ring", "switch"]))
def test_every_interface_has_a_name_and_address_of_its_own(count: int, topology: Topology) -> None:
    layout = lay_out("lab", names(count), cabling(names(count), topology), BASE)
    subnets = {net.name: ipaddress.IPv4Network(net.subnet) for net in layout.networks}
    seen = set()
    for host in layout.hosts:
        assert len({nic.netdev for nic in host.nics}) == len(host.nics)
        for nic in host.nics:
            assert ipaddress.IPv4Address(nic.address) in subnets[nic.network]
            seen.add(nic.address)
    assert len(seen) == sum(len(host.nics) for host in layout.hosts)
    assert all(subnet.subnet_of(BASE) for subnet in subnets.values())
    assert len(set(subnets.values())) == len(subnets)


def test_ring_goes_from_p0_to_the_next_hosts_p1() -> None:
    assert [tuple(map(str, segment.ends)) for segment in cabling(names(3), "ring")] == [
        ("spark-1.p0", "spark-2.p1"),
        ("spark-2.p0", "spark-3.p1"),
        ("spark-3.p0", "spark-1.p1"),
    ]


def test_pair_has_one_cable_with_two_halves_named_as_on_a_spark() -> None:
    layout = lay_out("lab", names(2), cabling(names(2), "pair"), BASE)
    for host in layout.hosts:
        assert [nic.netdev for nic in host.nics] == ["eth0", "enp1s0f1np1", "enP2p1s0f1np1"]
    assert [net.mtu for net in layout.networks] == [1500, 9000, 9000]
    assert layout.host("spark-1").address == "10.77.0.11"


@pytest.mark.parametrize(("count", "topology"), [(1, "pair"), (3, "pair"), (2, "ring")])
def test_topology_that_does_not_fit_the_number_is_refused(count: int, topology: Topology) -> None:
    with pytest.raises(FilesWrong):
        cabling(names(count), topology)


@pytest.mark.parametrize(
    ("hosts", "segments", "said"),
    [
        (("a", "a"), (), "same name"),
        (("-a",), (), "can't name"),
        (("a; rm -rf /",), (), "can't name"),
        ((), (), "1 to"),
        (("a", "b"), (Segment((End("a", "p1"), End("c", "p1"))),), "no host c"),
        (("a", "b"), (Segment((End("a", "p1"), End("a", "p1"))),), "two cables"),
        (("a", "b"), (Segment((End("a", "p7"), End("b", "p1"))),), "no port p7"),
    ],
)
def test_wrong_shapes_are_told(
    hosts: tuple[str, ...], segments: tuple[Segment, ...], said: str
) -> None:
    with pytest.raises(FilesWrong, match=said):
        lay_out("lab", hosts, segments, BASE)


def test_layout_survives_its_record() -> None:
    layout = lay_out("lab", names(3), cabling(names(3), "switch"), BASE)
    assert from_json(json.loads(json.dumps(layout.as_json()))) == layout


@given(st.lists(st.integers(77, 126), max_size=40))
def test_free_base_overlaps_nothing_that_is_taken(seconds: list[int]) -> None:
    taken = [f"10.{second}.0.0/24" for second in seconds] + ["0.0.0.0/0", "192.168.0.0/16"]
    base = free_base(taken)
    others = [ipaddress.ip_network(text) for text in taken if not text.endswith("/0")]
    assert not any(base.overlaps(other) for other in others)


def test_no_free_network_is_told() -> None:
    with pytest.raises(FilesWrong, match="no free network"):
        free_base(["10.0.0.0/8"])
