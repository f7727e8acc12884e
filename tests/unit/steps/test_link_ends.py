"""Ends of a link whose MTUs differ are refused before anything is started, with the reason and what to type."""

from __future__ import annotations

import pytest

from orchestrator.errors import Refused
from orchestrator.spec.models import Cluster
from orchestrator.steps.link import LinkWorks, link_steps
from orchestrator.steps.link_ends import EndsAgree
from tests.unit.network.clusters import cable, cluster, deployment, names, switch
from tests.unit.network.worlds import Answers, answers, network, with_addresses

RAILS = ("enp1s0f1np1", "enP2p1s0f1np1")
PAIR = cluster(
    names(2),
    cable("spark-1.p1", "spark-2.p1"),
    deployments={"vl": deployment(*names(2))},
)
WIDE = cluster(
    names(9),
    switch("s1", *(f"{name}.p1" for name in names(9))),
    deployments={"vl": deployment(*names(8))},
)


def world(of: Cluster, default: int = 9000, **odd: int) -> dict[str, Answers]:
    """Every end with this MTU; `odd`: spark_2=1500, both halves."""
    found = {}
    for name in of.hosts:
        mtu = odd.get(name.replace("-", "_"), default)
        found[name] = answers(with_addresses(network(), mtu, **dict.fromkeys(RAILS, "10.0.0.1/24")))
    return found


def gates(of: Cluster) -> list[EndsAgree]:
    return [one for one in link_steps(of, {}) if isinstance(one, EndsAgree)]


def test_each_half_is_looked_at_once_and_before_the_waits_for_it() -> None:
    assert [one.id for one in gates(PAIR)] == [
        "vl/link-ends/spark-1.p1~spark-2.p1/0",
        "vl/link-ends/spark-1.p1~spark-2.p1/1",
    ]
    waits = [one for one in link_steps(PAIR, {}) if isinstance(one, LinkWorks)]
    assert len(waits) == 4
    assert all(any("link-ends" in need for need in one.needs) for one in waits)


@pytest.mark.parametrize("mtu", [1500, 9000])
def test_ends_that_agree_pass(mtu: int) -> None:
    """On a wrong one too: the waits say that it is not the inventory's."""
    for one in gates(PAIR):
        assert one.check(world(PAIR, mtu)) is None


def test_ends_that_differ_are_refused_with_the_reason_and_what_to_type() -> None:
    first, second = gates(PAIR)
    with pytest.raises(Refused) as refused:
        first.check(world(PAIR, spark_2=1500))
    assert refused.value.exit_code == 4
    assert refused.value.message == (
        "vl: the ends of spark-1.p1~spark-2.p1 have different MTUs (1500 at spark-2 enp1s0f1np1,"
        " 9000 at spark-1 enp1s0f1np1): large packets vanish, small ones pass"
    )
    assert refused.value.hint == (
        "on spark-2: sudo ip link set dev enp1s0f1np1 mtu 9000; `orch run network` sets it for good"
    )
    with pytest.raises(Refused, match="enP2p1s0f1np1"):
        second.check(world(PAIR, spark_1=4200))


def test_only_the_hosts_of_the_deployment_count_and_many_are_a_number() -> None:
    first, _ = gates(WIDE)
    assert first.check(world(WIDE, spark_9=1500)) is None
    with pytest.raises(Refused, match="and 3 more") as refused:
        first.check(world(WIDE, spark_5=1500))
    assert refused.value.host == "spark-5"


def test_neither_end_as_the_inventory_has_it_names_both() -> None:
    with pytest.raises(Refused) as refused:
        gates(PAIR)[0].check(world(PAIR, spark_1=4200, spark_2=1500))
    assert "on spark-1: sudo ip link" in refused.value.hint
    assert "on spark-2: sudo ip link" in refused.value.hint
