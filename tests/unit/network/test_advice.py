"""What can't work is refused with its reason, and what disappoints is told, before a host is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import FilesWrong
from orchestrator.network.environment import rank_address, rank_environment
from orchestrator.network.topology import plan_fabric, survey_fabric
from orchestrator.spec.models import Cluster, Gate, Half, Host, Kind, PortSpec
from orchestrator.spec.resolve import load_inventory
from tests.unit.network.clusters import (
    PLAIN,
    SPARK,
    cable,
    cluster,
    deployment,
    host,
    mesh_of_four,
    names,
    ring,
    switch,
)
from tests.unit.network.worlds import answers, netdev, network

STRICT = SPARK.model_copy(update={"same_port_in_pair": True})


def strict(count: int) -> list[Host | str]:
    return [host(name, kind=STRICT) for name in names(count)]


def said(made: Cluster) -> list[tuple[str, str]]:
    return [(one.severity, one.message) for one in survey_fabric(made)[1]]


def test_a_crossed_cable_on_a_pair_is_refused() -> None:
    crossed = cluster(strict(2), cable("spark-1.p0", "spark-2.p1"))
    ((severity, message),) = said(crossed)
    assert severity == "error"
    assert "from spark-1.p0 to spark-2.p1: a pair has it in the same port on both" in message
    with pytest.raises(FilesWrong) as wrong:
        plan_fabric(crossed)
    assert "plug it into spark-2.p0" in wrong.value.hint


def test_two_crossed_cables_on_a_pair_are_refused_too() -> None:
    crossed = cluster(
        strict(2),
        cable("spark-1.p0", "spark-2.p1"),
        cable("spark-1.p1", "spark-2.p0"),
    )
    assert [severity for severity, _ in said(crossed)].count("error") == 2


@pytest.mark.parametrize("count", [3, 4, 5])
def test_port_0_to_port_1_is_right_in_a_ring_and_in_a_chain(count: int) -> None:
    assert said(cluster(strict(count), *ring(count))) == []
    assert said(cluster(strict(count), *ring(count)[:-1])) == []


def test_a_crossed_pair_beside_other_hosts_is_still_a_pair() -> None:
    made = cluster(strict(4), cable("spark-1.p0", "spark-2.p1"), cable("spark-3.p1", "spark-4.p1"))
    assert [severity for severity, _ in said(made)] == ["error"]


def test_ports_of_a_kind_that_does_not_mind_may_differ() -> None:
    made = cluster(names(2), cable("spark-1.p0", "spark-2.p1"))
    assert said(made) == []


def test_two_cables_between_two_sparks_do_not_give_400() -> None:
    both = cluster(names(2), cable("spark-1.p0", "spark-2.p0"), cable("spark-1.p1", "spark-2.p1"))
    ((severity, message),) = said(both)
    assert severity == "warning"
    assert message == (
        "two cables between spark-1 and spark-2 don't give 400 Gb/s: both ports share the same PCIe"
        " links, which carry about 180"
    )


def test_halves_that_stay_unused_and_mtus_that_differ_are_told() -> None:
    made = cluster(
        ["spark-1", host("tower", kind=PLAIN)], cable("spark-1.p0", "tower.p0"), mtu=None
    )
    assert said(made) == [
        ("warning", "spark-1.p0 has 2 halves, tower.p0 has 1: the others stay unused"),
        (
            "warning",
            "the ends have different MTUs by their kinds (spark-1 9000, tower 1500): all get 1500",
        ),
    ]


def test_both_halves_in_one_subnet_are_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(
        "version: 1\ndefaults: {kind: dgx-spark}\nhosts: {a: {}, b: {}}\n"
        "links: [{ends: [a.p1, b.p1], subnets: [192.168.177.0/24, 192.168.177.0/24]}]\n"
    )
    with pytest.raises(FilesWrong) as wrong:
        load_inventory(path)
    assert "both halves of a port in one subnet" in str(wrong.value.findings)
    assert "the kernel answers for either" in str(wrong.value.findings)


def test_the_kinds_that_ship_know_crossed_cables_and_shared_pcie(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    for kind in ("dgx-spark", "asus-gx10", "lab"):
        path.write_text(
            f"version: 1\ndefaults: {{kind: {kind}}}\nhosts: {{a: {{}}, b: {{}}}}\nlinks: [[a.p0, b.p1]]\n"
        )
        made = load_inventory(path)
        assert [severity for severity, _ in said(made)] == ["error"], kind


# --- the order of ranks ------------------------------------------------------------------------------


def test_a_ring_of_four_in_the_wrong_order_is_told_with_the_right_one() -> None:
    wrong = deployment("spark-1", "spark-3", "spark-2", "spark-4")
    made = cluster(names(4), *ring(4), deployments={"vl": wrong})
    (finding,) = survey_fabric(made)[1]
    assert finding.message == "NCCL's ring goes from spark-1 to spark-3, which no cable joins"
    assert finding.suggestion in (
        "in the order of the cables: [spark-1, spark-2, spark-3, spark-4]",
        "in the order of the cables: [spark-1, spark-4, spark-3, spark-2]",
    )
    right = made.model_copy(update={"deployments": {"vl": deployment(*names(4))}})
    assert said(right) == []


def test_a_chain_can_not_close_nccls_ring() -> None:
    made = cluster(names(3), *ring(3)[:2], deployments={"vl": deployment(*names(3))})
    ((severity, message),) = said(made)
    assert severity == "warning"
    assert "closes its ring from spark-3 back to spark-1, and no cable goes there" in message
    off = deployment(*names(3), gate=Gate(rdma="off"))
    assert said(made.model_copy(update={"deployments": {"vl": off}})) == []


def test_any_order_is_right_where_all_are_neighbours() -> None:
    for made in (
        cluster(
            names(3), *ring(3), deployments={"vl": deployment("spark-2", "spark-1", "spark-3")}
        ),
        cluster(
            names(4),
            switch("s1", *(f"{name}.p0" for name in names(4))),
            deployments={"vl": deployment("spark-4", "spark-1", "spark-3", "spark-2")},
        ),
        mesh_of_four().model_copy(
            update={"deployments": {"vl": deployment("box-0", "box-3", "box-1", "box-2")}}
        ),
    ):
        assert said(made) == []


# --- slow links that carry weights and no NCCL ----------------------------------------------------------


def with_slow_port(kind: Kind) -> Kind:
    slow = PortSpec(halves=(Half(netdev="eno2"),), gbps=10, nccl=False)
    return kind.model_copy(update={"ports": {"a-slow": slow, **kind.ports}})


def test_a_slow_link_gets_addresses_and_no_nccl() -> None:
    kind = with_slow_port(SPARK)
    made = cluster(
        [host(name, kind=kind) for name in names(2)],
        cable("spark-1.a-slow", "spark-2.a-slow", "10.9.0.0/24"),
        cable("spark-1.p1", "spark-2.p1", "10.1.0.0/24", "10.1.1.0/24"),
    )
    fabric = plan_fabric(made)
    assert next(member.netdev for _, member in fabric.of_host("spark-1")) == "eno2"
    world = {name: answers(network(eno2=netdev("eno2"))) for name in made.hosts}
    found = rank_environment(made, deployment("spark-1", "spark-2"), "spark-2", world)
    assert found["NCCL_SOCKET_IFNAME"] == "enp1s0f1np1"
    assert found["VLLM_HOST_IP"] == "10.1.0.11"
    assert found["NCCL_IB_HCA"] == "=rocep1s0f1:1,roceP2p1s0f1:1"


def test_with_only_a_slow_link_the_gang_meets_on_management() -> None:
    kind = with_slow_port(SPARK)
    made = cluster(
        [host(name, kind=kind) for name in names(2)],
        cable("spark-1.a-slow", "spark-2.a-slow"),
    )
    world = {name: answers(network()) for name in made.hosts}
    pair = deployment("spark-1", "spark-2")
    assert plan_fabric(made).for_nccl.kind_of(pair.hosts) == "none"
    assert rank_address(made, pair, "spark-2", world) == "192.168.102.10"
    assert rank_environment(made, pair, "spark-2", world)["NCCL_IB_DISABLE"] == "1"
