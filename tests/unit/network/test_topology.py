"""Subnets do not meet, addresses are unique, and neither moves when something else is added."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import FilesWrong
from orchestrator.network.allocate import _digest
from orchestrator.network.cabling import natural
from orchestrator.network.fabric import Fabric
from orchestrator.network.topology import plan_fabric, survey_fabric
from orchestrator.spec.models import Host, Link
from tests.unit.network.clusters import PLAIN, cable, cluster, host, names, ring, switch


def addresses(fabric: Fabric) -> dict[tuple[str, str], str]:
    return {
        (member.host, member.netdev): str(member.interface)
        for segment in fabric.segments
        for member in segment.members
    }


def test_a_pair_gets_a_subnet_per_half_and_10_and_11() -> None:
    fabric = plan_fabric(cluster(names(2), cable("spark-1.p1", "spark-2.p1")))
    first, second = fabric.segments
    assert [member.netdev for member in first.members] == ["enp1s0f1np1"] * 2
    assert [member.netdev for member in second.members] == ["enP2p1s0f1np1"] * 2
    assert first.subnet != second.subnet
    assert [str(m.interface).split(".")[-1] for m in first.members] == ["10/24", "11/24"]
    assert all(segment.subnet.subnet_of(IPv4Network("10.20.0.0/16")) for segment in fabric.segments)


def test_pinned_subnets_are_what_the_field_notes_have() -> None:
    link = cable("spark-3.p1", "spark-2.p1", "192.168.100.0/24", "192.168.101.0/24")
    assert addresses(plan_fabric(cluster(names(3), link))) == {
        ("spark-2", "enp1s0f1np1"): "192.168.100.10/24",
        ("spark-3", "enp1s0f1np1"): "192.168.100.11/24",
        ("spark-2", "enP2p1s0f1np1"): "192.168.101.10/24",
        ("spark-3", "enP2p1s0f1np1"): "192.168.101.11/24",
    }


@pytest.mark.parametrize(
    ("pins", "word"),
    [
        (("192.168.1.0/24", "192.168.1.0/24"), "two halves of a port in one subnet"),
        (("192.168.1.0/24",), "1 subnets pinned, the ports have 2 halves"),
        (("192.168.1.0/24", "192.168.0.0/16"), "two halves"),
        (("192.168.102.0/24", "192.168.1.0/24"), "holds 192.168.102.10, by which spark-1"),
        (("192.168.1.0/32", "192.168.2.0/24"), "no room"),
    ],
)
def test_wrong_pins_are_refused(pins: tuple[str, ...], word: str) -> None:
    hosts = [host("spark-1", address="192.168.102.10"), host("spark-2")]
    with pytest.raises(FilesWrong, match=word):
        plan_fabric(cluster(hosts, cable("spark-1.p1", "spark-2.p1", *pins)))


def test_pins_of_two_links_may_not_overlap() -> None:
    links = (
        cable("spark-1.p0", "spark-2.p0", "192.168.0.0/16", "172.16.0.0/24"),
        cable("spark-1.p1", "spark-2.p1", "192.168.7.0/24", "172.16.1.0/24"),
    )
    with pytest.raises(FilesWrong, match=r"192.168.7.0/24 overlaps 192.168.0.0/16 of links.0"):
        plan_fabric(cluster(names(2), *links))


def test_all_that_is_wrong_is_said_at_once() -> None:
    links = (
        cable("spark-1.p7", "spark-2.p0"),
        cable("spark-1.p1", "nobody.p1"),
        cable("spark-1.p0", "spark-1.p1"),
    )
    _, findings = survey_fabric(cluster(names(2), *links))
    assert [one.message for one in findings] == [
        "spark-1 has no port 'p7'",
        "there is no host 'nobody'",
        "spark-1 is cabled to itself",
    ]


def test_a_port_has_one_cable() -> None:
    links = (cable("spark-1.p1", "spark-2.p1"), cable("spark-1.p1", "spark-3.p1"))
    with pytest.raises(FilesWrong, match=r"spark-1.p1 is in two links"):
        plan_fabric(cluster(names(3), *links))


def test_two_ports_of_a_host_on_one_switch_need_two_links() -> None:
    with pytest.raises(FilesWrong, match="two ports in one link of switch s1"):
        plan_fabric(cluster(names(2), switch("s1", "spark-1.p0", "spark-1.p1", "spark-2.p0")))


def test_a_management_interface_is_no_fabric() -> None:
    one = host("spark-1", management=("enp1s0f1np1",))
    with pytest.raises(FilesWrong, match="management interface"):
        plan_fabric(cluster([one, "spark-2"], cable("spark-1.p1", "spark-2.p1")))


def test_the_pool_is_never_cut_through_a_management_address() -> None:
    hosts = [host(f"spark-{i}", address=f"10.20.{i}.5") for i in range(250)]
    links = [cable(f"spark-{i}.p0", f"spark-{i + 1}.p1") for i in range(3)]
    fabric = plan_fabric(cluster(hosts, *links))
    held = [IPv4Address(one.address) for one in hosts]
    assert not any(address in segment.subnet for segment in fabric.segments for address in held)


def test_a_pool_that_is_full_says_so() -> None:
    with pytest.raises(FilesWrong, match="no room for 6 subnets"):
        plan_fabric(cluster(names(3), *ring(3), pool=IPv4Network("10.9.0.0/23")))


def test_unlike_ports_share_the_halves_that_both_have() -> None:
    hosts: list[Host | str] = ["spark-1", host("tower", kind=PLAIN)]
    fabric = plan_fabric(cluster(hosts, cable("spark-1.p0", "tower.p0"), mtu=None))
    assert [(one.half, one.mtu) for one in fabric.segments] == [(0, 1500)]


def test_link_local_gives_no_addresses() -> None:
    fabric = plan_fabric(
        cluster(names(2), cable("spark-1.p1", "spark-2.p1"), addresses="link-local")
    )
    assert [m.interface for s in fabric.segments for m in s.members] == [None] * 4


@pytest.mark.parametrize(
    ("links", "hosts", "kind"),
    [
        ([cable("spark-1.p1", "spark-2.p1")], names(2), "pair"),
        (
            [cable("spark-1.p1", "spark-2.p1"), cable("spark-1.p0", "spark-2.p0")],
            names(2),
            "pair",
        ),
        (ring(3), names(3), "ring"),
        (ring(4), names(4), "ring"),
        (ring(4), names(3), "chain"),
        (ring(4), ["spark-1", "spark-3"], "none"),
        (ring(4), names(2), "pair"),
        ([switch("s1", "spark-1.p0", "spark-2.p0", "spark-3.p0")], names(3), "switch"),
        ([switch("s1", "spark-1.p0", "spark-2.p0", "spark-3.p0")], names(2), "switch"),
        ([cable("spark-1.p1", "spark-2.p1")], names(3), "none"),
        ([cable("spark-1.p1", "spark-2.p1")], ["spark-1"], "none"),
    ],
)
def test_kinds_of_fabric(links: list[Link], hosts: list[str], kind: str) -> None:
    assert plan_fabric(cluster(names(4), *links)).kind_of(hosts) == kind


def test_a_switch_keeps_its_addresses_when_a_host_is_added() -> None:
    three = [f"spark-{i}.p0" for i in (1, 2, 4)]
    before = addresses(plan_fabric(cluster(names(4), switch("s1", *three))))
    after = addresses(plan_fabric(cluster(names(4), switch("s1", *three, "spark-3.p0"))))
    assert before.items() <= after.items()


def test_a_hundred_hosts_on_a_switch() -> None:
    hosts = names(300)
    chosen = [f"spark-{i}.p0" for i in range(200, 300)]
    found = addresses(plan_fabric(cluster(hosts, switch("s1", *chosen))))
    assert len(set(found.values())) == 200


# --- properties ---------------------------------------------------------------------------------

HOSTS = [f"h{i}" for i in range(12)]
ALL_PORTS = [f"{name}.p{port}" for name in HOSTS for port in (0, 1)]


@st.composite
def cabled(draw: st.DrawFn) -> list[Link]:
    """Some of the ports, plugged into each other in any way that holds."""
    ports = draw(st.permutations(ALL_PORTS))
    pairs = [
        cable(one, other)
        for one, other in zip(ports[::2], ports[1::2], strict=True)
        if one.split(".")[0] != other.split(".")[0]
    ]
    return pairs[: draw(st.integers(0, len(pairs)))]


@given(cabled())
def test_subnets_never_meet_and_addresses_are_unique(links: list[Link]) -> None:
    fabric = plan_fabric(cluster(HOSTS, *links))
    assert len(fabric.segments) == 2 * len(links)
    for one, other in combinations(fabric.segments, 2):
        assert not one.subnet.overlaps(other.subnet)
    found = addresses(fabric)
    assert len(set(found.values())) == len(found) == 4 * len(links)
    for segment in fabric.segments:
        for member in segment.members:
            assert member.interface is not None
            assert member.interface.network == segment.subnet
            assert member.interface.ip not in (
                segment.subnet.network_address,
                segment.subnet.broadcast_address,
            )


@given(cabled(), st.randoms(use_true_random=False))
def test_order_says_nothing(links: list[Link], random: object) -> None:
    turned = [Link(ends=link.ends[::-1]) for link in reversed(links)]
    assert addresses(plan_fabric(cluster(HOSTS, *links))) == addresses(
        plan_fabric(cluster(HOSTS[::-1], *turned))
    )


def home(link: Link) -> int:
    """Where a link goes if no other wants that place."""
    name = "~".join(sorted((str(ref) for ref in link.ends), key=natural))
    return _digest(f"{name}#0") % 128


def of_link(found: dict[tuple[str, str], str], link: Link) -> list[str]:
    return [found[ref.host, f"enp1s0f{ref.port[1]}np{ref.port[1]}"] for ref in link.ends]


@given(cabled())
def test_a_link_without_a_collision_never_moves(links: list[Link]) -> None:
    homes = [home(link) for link in links]
    whole = addresses(plan_fabric(cluster(HOSTS, *links)))
    for index, link in enumerate(links):
        if homes.count(homes[index]) == 1:
            fewer = addresses(plan_fabric(cluster(HOSTS, *links[: index + 1])))
            assert of_link(fewer, link) == of_link(whole, link)


def test_without_a_collision_nothing_moves() -> None:
    links = ring(3)
    everything = addresses(
        plan_fabric(cluster(names(5), *links, cable("spark-4.p0", "spark-5.p0")))
    )
    assert addresses(plan_fabric(cluster(names(5), *links))).items() <= everything.items()
