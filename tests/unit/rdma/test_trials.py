"""Which tests a link gets, in which order, and what the hosts make of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.contracts import Query, World
from orchestrator.facts.answers import Network, Packages
from orchestrator.facts.network import ReadNetwork
from orchestrator.network.fabric import Fabric
from orchestrator.network.topology import plan_fabric
from orchestrator.rdma.answers import Effort
from orchestrator.rdma.trials import (
    FULL,
    QUICK,
    TOOL_VERSIONS,
    Pair,
    fingerprint,
    pairs,
    trials,
    unmeasured,
)
from orchestrator.spec.models import Cluster
from tests.unit.network.clusters import PLAIN, cable, cluster, host, names, ring, switch
from tests.unit.network.worlds import NO_RDMA, RDMA, Answers, answers, network, with_addresses

PAIR = cluster(names(2), cable("spark-1.p1", "spark-2.p1"))
LINK = Pair("spark-1.p1~spark-2.p1", "spark-1", "spark-2")
VERSIONS: Mapping[Query[Any], Any] = {
    TOOL_VERSIONS: Packages("apt", {"perftest": "24.01", "iperf3": "3.16"})
}


def addressed(of: Cluster, host: str) -> Answers:
    """A host with all the addresses that the files give it."""
    found = {member.netdev: str(member.interface) for _, member in plan_fabric(of).of_host(host)}
    return answers(with_addresses(network(), 9000, **found), more=VERSIONS)


def world_of(of: Cluster) -> Mapping[str, Answers]:
    return {host: addressed(of, host) for host in of.hosts}


def told(fabric: Fabric, effort: Effort = FULL, soak: bool = False) -> list[str]:
    return [one.name.removeprefix(f"{LINK.link}/") for one in trials(fabric, LINK, effort, soak)]


def test_a_pair_is_tested_half_by_half_both_ways_and_all_at_once() -> None:
    assert told(plan_fabric(PAIR)) == [
        "spark-1>spark-2/h1/alone",
        "spark-1>spark-2/h2/alone",
        "spark-2>spark-1/h1/alone",
        "spark-2>spark-1/h2/alone",
        "spark-1>spark-2/h1/both-ways",
        "spark-1>spark-2/h2/both-ways",
        "spark-1>spark-2/h1+2/together",
        "spark-2>spark-1/h1+2/together",
        "spark-1>spark-2/h1/latency",
        "spark-1>spark-2/h2/latency",
    ]


def test_quick_is_one_pass_and_a_soak_is_all_at_once() -> None:
    fabric = plan_fabric(PAIR)
    assert told(fabric, QUICK) == [
        "spark-1>spark-2/h1+2/together",
        "spark-2>spark-1/h1+2/together",
    ]
    single = plan_fabric(cluster(["spark-1", host("b", kind=PLAIN)], cable("spark-1.p1", "b.p0")))
    (link,) = pairs(single)
    names_of = [one.name.removeprefix(f"{link.link}/") for one in trials(single, link, QUICK)]
    assert sorted(names_of) == ["b>spark-1/h1/alone", "spark-1>b/h1/alone"]
    assert told(fabric, soak=True) == ["spark-1>spark-2/h1+2/together"]


def test_halves_that_start_together_have_a_port_each() -> None:
    (soak,) = trials(plan_fabric(PAIR), LINK, FULL, soak=True)
    assert [(one.port, one.group) for one in soak.tests(world_of(PAIR))] == [
        (18515, soak.name),
        (18516, soak.name),
    ]


def test_behind_a_switch_neighbours_in_a_circle_or_everybody() -> None:
    fabric = plan_fabric(cluster(names(4), switch("s1", *(f"{one}.p0" for one in names(4)))))
    circle = [(one.first, one.second) for one in pairs(fabric)]
    assert circle == [
        ("spark-1", "spark-2"),
        ("spark-2", "spark-3"),
        ("spark-3", "spark-4"),
        ("spark-4", "spark-1"),
    ]
    assert len(pairs(fabric, all_pairs=True)) == 6
    assert [
        (one.first, one.second) for one in pairs(fabric, frozenset(("spark-1", "spark-3")))
    ] == [("spark-1", "spark-3")]


def test_a_link_can_be_named() -> None:
    fabric = plan_fabric(cluster(names(3), *ring(3)))
    assert len(pairs(fabric)) == 3
    wanted = frozenset(("spark-1.p0~spark-2.p1",))
    assert [one.link for one in pairs(fabric, links=wanted)] == ["spark-1.p0~spark-2.p1"]


def test_devices_and_addresses_are_the_hosts_own() -> None:
    one = trials(plan_fabric(PAIR), LINK, FULL)[0]
    world = world_of(PAIR)
    (test,) = one.tests(world)
    assert (test.way, test.lane.client.rdma, test.lane.server.rdma) == (
        "rdma",
        "rocep1s0f1",
        "rocep1s0f1",
    )
    renamed = replace(
        RDMA, devices=tuple(replace(d, name=f"mlx5_{n}") for n, d in enumerate(RDMA.devices))
    )
    other = {**world, "spark-2": answers(addressed_network("spark-2"), renamed, more=VERSIONS)}
    (test,) = one.tests(other)
    assert test.lane.server.rdma == "mlx5_2"


def addressed_network(host: str) -> Network:
    return addressed(PAIR, host).get(ReadNetwork())


def test_where_one_end_has_no_rdma_device_tcp_is_measured() -> None:
    world: World = {
        **world_of(PAIR),
        "spark-2": answers(addressed_network("spark-2"), NO_RDMA, more=VERSIONS),
    }
    (test,) = trials(plan_fabric(PAIR), LINK, FULL)[0].tests(world)
    assert test.way == "tcp"
    (latency,) = trials(plan_fabric(PAIR), LINK, FULL)[-1].tests(world)
    assert unmeasured(latency) and not unmeasured(test)


def test_an_address_that_the_host_has_not_is_none() -> None:
    world = {**world_of(PAIR), "spark-2": answers(network(), more=VERSIONS)}
    (test,) = trials(plan_fabric(PAIR), LINK, FULL)[0].tests(world)
    assert test.lane.server.address == "" and test.lane.client.address


def test_a_new_firmware_is_another_fingerprint() -> None:
    one = trials(plan_fabric(PAIR), LINK, FULL)[0]
    world = world_of(PAIR)
    newer = replace(
        RDMA, devices=tuple(replace(each, firmware="28.46.1006") for each in RDMA.devices)
    )
    other = {**world, "spark-2": answers(addressed_network("spark-2"), newer, more=VERSIONS)}
    before, after = fingerprint(one, world), fingerprint(one, other)
    assert {key for key in before if before[key] != after[key]} == {"spark-2 rocep1s0f1 firmware"}
    assert before["spark-1 perftest"] == "24.01"
