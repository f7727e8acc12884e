"""Cables are found from what hosts saw, by whichever way there was, and each difference is worded."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.contracts import World
from orchestrator.errors import Refused, Unknown
from orchestrator.facts.answers import LldpNeighbour, Neighbour, Sighting
from orchestrator.facts.lldp import ReadLldp
from orchestrator.network.discovery import (
    Discovery,
    Ports,
    Seen,
    compare,
    discover,
    links_of,
)
from orchestrator.network.look import cluster_ports, look_reads, seen_by
from orchestrator.script import Result
from orchestrator.spec.models import Link, PortRef
from orchestrator.steps.cabling import cabling_steps
from tests import captured
from tests.unit.network.clusters import SPARK, cable, cluster, end, names, ring, switch
from tests.unit.network.worlds import Answers, identity, netdev, network

SPARK_PORTS = {
    name: tuple(half.netdev for half in port.halves) for name, port in SPARK.ports.items()
}


def ports(count: int) -> Ports:
    return dict.fromkeys(names(count), SPARK_PORTS)


def mac(host: str, netdev: str) -> str:
    order = [one for each in SPARK_PORTS.values() for one in each]
    return f"4c:bb:47:00:{int(host.split('-')[1]):02x}:{order.index(netdev):02x}"


def macs(host: str) -> dict[str, str]:
    return {one: mac(host, one) for each in SPARK_PORTS.values() for one in each}


def over(*groups: str, way: str = "frames") -> dict[str, Seen]:
    """What hosts see if these ports ("spark-1.p0 spark-2.p1") are on one wire: every half hears every half."""
    wires = [[end(word) for word in group.split()] for group in groups]
    hosts = {one.host for wire in wires for one in wire}
    heard: dict[str, list[Sighting]] = {host: [] for host in hosts}
    for wire in wires:
        for here in wire:
            for other in wire:
                if other.host == here.host:
                    continue
                heard[here.host] += [
                    Sighting(ours, mac(other.host, theirs), other.host, theirs)
                    for ours in SPARK_PORTS[here.port]
                    for theirs in SPARK_PORTS[other.port]
                ]
    if way == "frames":
        return {
            host: Seen(macs(host), host, frames=tuple(each), ways=("frames",))
            for host, each in heard.items()
        }
    return {
        host: Seen(
            macs(host),
            host,
            neighbours=tuple(Neighbour(one.netdev, "fe80::1", one.mac, "STALE") for one in each),
            ways=("neighbours",),
        )
        for host, each in heard.items()
    }


def found(seen: dict[str, Seen], count: int) -> set[tuple[str, ...]]:
    return {
        tuple(str(one) for one in plugged.ends) for plugged in discover(ports(count), seen).plugged
    }


def test_a_ring_is_found_from_what_lldpd_really_said() -> None:
    """tests/captured/lldp: a.p0 to b.p1, b.p0 to c.p1, c.p0 to a.p1, by LLDP alone."""
    cards = {"a": 1, "b": 2, "c": 3}
    every = [one for each in SPARK_PORTS.values() for one in each]
    seen = {}
    for host, number in cards.items():
        said = f"@lldpcli\n{captured.lldp(f'ring_{host}.json')}\n\n@networkctl\n\nend\n"
        heard = ReadLldp().parse({"lldp": Result(0, said.encode(), b"", 0.1)})
        own = {one: f"52:54:00:0c:{number:02x}:{at:02x}" for at, one in enumerate(every, start=4)}
        seen[host] = Seen(own, host, lldp=heard or (), ways=("lldp",))
    told = discover(dict.fromkeys(cards, SPARK_PORTS), seen)
    assert {tuple(map(str, one.ends)) for one in told.plugged} == {
        ("a.p0", "b.p1"), ("b.p0", "c.p1"), ("a.p1", "c.p0"),
    }  # fmt: skip
    assert all(one.is_cable for one in told.plugged)
    assert (told.silent, told.blind) == ((), ())


@pytest.mark.parametrize("way", ["frames", "neighbours"])
def test_a_pair_and_a_ring_are_found_by_either_way(way: str) -> None:
    assert found(over("spark-1.p1 spark-2.p1", way=way), 2) == {("spark-1.p1", "spark-2.p1")}
    circle = ("spark-1.p0 spark-2.p1", "spark-2.p0 spark-3.p1", "spark-3.p0 spark-1.p1")
    assert found(over(*circle, way=way), 3) == {
        ("spark-1.p0", "spark-2.p1"),
        ("spark-2.p0", "spark-3.p1"),
        ("spark-1.p1", "spark-3.p0"),
    }


def test_one_end_that_saw_is_enough() -> None:
    seen = over("spark-1.p1 spark-2.p1")
    seen["spark-2"] = Seen(macs("spark-2"), "spark-2")
    cabled = discover(ports(2), seen)
    assert [str(one) for one in cabled.plugged[0].ends] == ["spark-1.p1", "spark-2.p1"]
    assert cabled.blind == ("spark-2",)
    assert [str(one) for one in cabled.silent] == ["spark-1.p0"], "spark-2.p0 was not listened to"


def test_three_ports_on_a_wire_are_a_switch() -> None:
    cabled = discover(ports(3), over("spark-1.p0 spark-2.p0 spark-3.p0"))
    (plugged,) = cabled.plugged
    assert (plugged.switch, len(plugged.ends)) == ("s1", 3)


def test_two_ports_of_each_host_on_one_switch_are_two_links() -> None:
    both = " ".join(f"{name}.p{port}" for name in names(2) for port in (0, 1))
    written = links_of(discover(ports(2), over(both)))
    assert [(one.switch, [str(ref) for ref in one.ends]) for one in written] == [
        ("s1", ["spark-1.p0", "spark-2.p0"]),
        ("s1", ["spark-1.p1", "spark-2.p1"]),
    ]


def test_lldp_names_a_port_by_its_mac_or_its_name() -> None:
    for told in (
        LldpNeighbour("enp1s0f1np1", "dgx-b", "x", mac("spark-2", "enp1s0f1np1"), "enp1s0f1np1"),
        LldpNeighbour("enp1s0f1np1", "dgx-b", "x", "enp1s0f1np1"),
    ):
        seen = {
            "spark-1": Seen(macs("spark-1"), "dgx-a", lldp=(told,), ways=("lldp",)),
            "spark-2": Seen(macs("spark-2"), "dgx-b"),
        }
        assert found(seen, 2) == {("spark-1.p1", "spark-2.p1")}


def test_two_ports_with_the_same_switch_over_lldp_are_on_it() -> None:
    seen = {
        name: Seen(
            macs(name),
            name,
            lldp=(LldpNeighbour("enp1s0f0np0", "leaf01", "44:38", f"swp{place}"),),
            ways=("lldp",),
        )
        for place, name in enumerate(names(2))
    }
    (plugged,) = discover(ports(2), seen).plugged
    assert plugged.switch == "leaf01"


def test_a_mac_that_two_hosts_have_tells_nothing_by_itself() -> None:
    twin = "02:00:00:00:00:01"
    seen = {
        name: Seen(
            {"enp1s0f0np0": twin},
            name,
            neighbours=(Neighbour("enp1s0f1np1", "fe80::1", twin, "STALE"),),
            ways=("neighbours",),
        )
        for name in names(2)
    }
    assert found(seen, 2) == set()


# --- against the inventory ------------------------------------------------------------------------------


def said(links: list[Link], seen: dict[str, Seen], count: int = 3) -> list[tuple[str, str]]:
    made = cluster(names(count), *links)
    return [(one.grade, one.message) for one in compare(made, discover(ports(count), seen))]


RING = ("spark-1.p0 spark-2.p1", "spark-2.p0 spark-3.p1", "spark-3.p0 spark-1.p1")


def test_cables_where_the_file_says_are_no_difference() -> None:
    assert said(ring(3), over(*RING)) == []
    three = "spark-1.p0 spark-2.p0 spark-3.p0"
    assert said([switch("s1", *three.split())], over(three)) == []


def test_a_cable_that_goes_elsewhere_is_worded_from_each_end() -> None:
    links = [cable("spark-1.p1", "spark-2.p1")]
    seen = over("spark-1.p1 spark-3.p0")
    seen["spark-2"] = Seen(macs("spark-2"), "spark-2", ways=("frames",))
    assert said(links, seen) == [
        ("wrong", "the cable of spark-1.p1 goes to spark-3.p0, your file says spark-2.p1")
    ]


def test_a_cable_without_a_link_is_told() -> None:
    assert said([cable("spark-1.p1", "spark-2.p1")], over(*RING[1:], "spark-1.p0 spark-2.p1"))[
        -1
    ] == ("wrong", "spark-2.p0 and spark-3.p1 are cabled together, your file has no link for it")


def test_what_was_not_seen_is_unknown_and_says_who_could_not_look() -> None:
    seen = {
        "spark-1": Seen(macs("spark-1"), "spark-1", ways=("frames",)),
        "spark-2": Seen(macs("spark-2"), "spark-2"),
    }
    ((grade, message),) = said([cable("spark-1.p1", "spark-2.p1")], seen, 2)
    assert grade == "unknown"
    assert "nothing was seen over the cable from spark-1.p1 to spark-2.p1" in message
    assert "(spark-2 can't look" in message


def test_a_host_that_is_not_on_the_switch_is_told() -> None:
    link = switch("s1", "spark-1.p0", "spark-2.p0", "spark-3.p0", "spark-4.p0")
    seen = over("spark-1.p0 spark-2.p0", "spark-3.p0 spark-4.p1")
    told = said([link], seen, 4)
    assert ("wrong", "the cable of spark-3.p0 goes to spark-4.p1, your file says switch s1") in told
    assert ("unknown", "spark-4.p0 was not seen on switch s1") in told


def test_a_switch_where_the_file_says_a_cable() -> None:
    ((grade, message), *_) = said(
        [cable("spark-1.p0", "spark-2.p0")], over("spark-1.p0 spark-2.p0 spark-3.p0")
    )
    assert (grade, message) == (
        "wrong",
        "spark-1.p0 and spark-2.p0 are on a switch with spark-3.p0, your file says a cable",
    )


HOSTS = names(6)
ENDS = [f"{name}.p{port}" for name in HOSTS for port in (0, 1)]


@st.composite
def wires(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Any cabling that holds: each port once, no cable from a host to itself."""
    mixed = draw(st.permutations(ENDS))
    pairs = zip(mixed[::2], mixed[1::2], strict=True)
    whole = [(a, b) for a, b in pairs if a.split(".")[0] != b.split(".")[0]]
    return whole[: draw(st.integers(0, len(whole)))]


@given(wires(), st.sampled_from(["frames", "neighbours"]))
def test_whatever_is_cabled_is_found_and_is_no_difference(
    real: list[tuple[str, str]], way: str
) -> None:
    seen = over(*(" ".join(one) for one in real), way=way)
    cabled = discover(ports(6), seen)
    assert {frozenset(map(str, one.ends)) for one in cabled.plugged} == {
        frozenset(one) for one in real
    }
    made = cluster(HOSTS, *(cable(*one) for one in real))
    assert compare(made, cabled) == ()


@given(wires(), wires())
def test_a_file_that_says_otherwise_is_never_right(
    real: list[tuple[str, str]], file: list[tuple[str, str]]
) -> None:
    seen = over(*(" ".join(one) for one in real))
    made = cluster(HOSTS, *(cable(*one) for one in file))
    same = {frozenset(one) for one in real} == {frozenset(one) for one in file}
    assert (compare(made, discover(ports(6), seen)) == ()) == same


# --- the step -----------------------------------------------------------------------------------------


PAIR = cluster(names(2), cable("spark-1.p1", "spark-2.p1"))


def world(seen: dict[str, Seen]) -> World:
    """The answers behind what was seen."""
    made = {}
    for host, one in seen.items():
        netdevs = {name: netdev(name, mac=each) for name, each in one.macs.items()}
        net = network("192.168.102.10", **netdevs)
        values: dict[object, object] = {}
        for where, query in look_reads(cluster_ports(PAIR)):
            if where == host:
                name = type(query).__name__
                values[query] = {
                    "ReadNetwork": net,
                    "Identify": identity(),
                    "ReadLldp": one.lldp or None,
                    "ReadNeighbours": one.neighbours,
                    "ReadFrames": one.frames,
                }[name]
        made[host] = Answers(values)  # type: ignore[arg-type]
    return made


def test_the_step_passes_what_fits_and_refuses_what_does_not() -> None:
    (step,) = cabling_steps(PAIR, {})
    assert step.check(world(over("spark-1.p1 spark-2.p1"))) is None
    with pytest.raises(Refused, match=r"the cable of spark-1.p1 goes to spark-2.p0"):
        step.check(world(over("spark-1.p1 spark-2.p0")))
    assert not list(cabling_steps(cluster(names(2)), {}))


def test_a_way_that_could_not_be_tried_is_left_out() -> None:
    class Nothing:
        def get(self, query: object) -> object:
            raise Unknown("not read")

    looked = seen_by(cluster_ports(PAIR), {name: Nothing() for name in names(2)})  # type: ignore[misc]
    assert all(one.ways == () for one in looked.values())
    cabled = discover(cluster_ports(PAIR), looked)
    assert cabled == Discovery((), (), tuple(names(2)))


def test_every_pair_of_ends_has_partners() -> None:
    cabled = discover(ports(3), over("spark-1.p0 spark-2.p0 spark-3.p0"))
    for one, other in combinations((PortRef(host=name, port="p0") for name in names(3)), 2):
        assert other in cabled.partners(one)
    assert cabled.partners(PortRef(host="spark-1", port="p1")) == ()
