"""How often the dear parts of a plan are worked out: counted, since a clock would tell of the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import pytest

from benchmarks import big_cluster
from orchestrator.engines.vllm import Vllm
from orchestrator.facts import ReadNetwork
from orchestrator.network import netplan
from orchestrator.network.topology import plan_fabric
from orchestrator.plan.decide import decide
from orchestrator.ranks.slots import slot, slots
from orchestrator.spec.derived import once, once_each
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.spec.resolve import load_cluster
from tests.gang_world import Site


@pytest.fixture
def large(tmp_path: Path) -> Cluster:
    """Six gangs of four; every other one has a fabric."""
    return load_cluster(big_cluster.write(tmp_path, 24, 6))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often each gang's ranks were worked out."""
    count: Counter[str] = Counter()
    work: Callable[..., Any] = Vllm.ranks

    def counted(self: Vllm, cluster: Cluster, deployment: Any, world: Any) -> Any:
        count[deployment.name] += 1
        return work(self, cluster, deployment, world)

    monkeypatch.setattr(Vllm, "ranks", counted)
    yield count


def test_the_ranks_of_a_gang_are_worked_out_once_a_decision(
    tmp_path: Path, made: Counter[str]
) -> None:
    site = Site(tmp_path)
    decide(site.steps, site.world)
    assert made == {"tiny": 1}
    decide(site.steps, site.world)
    assert made == {"tiny": 1}, "the world is the same"


def test_the_ranks_are_worked_out_anew_in_another_world(tmp_path: Path, made: Counter[str]) -> None:
    site = Site(tmp_path)
    site.run(*site.ranks())
    assert not site.changes()
    made.clear()
    told = site.world["spark-2"]
    network = told.get(ReadNetwork())
    told.answers[ReadNetwork] = replace(network, ssh_netdev="eth7")
    decide(site.steps, site.world)
    assert made == {"tiny": 1}


def test_what_follows_from_the_files_is_worked_out_once_for_a_cluster(large: Cluster) -> None:
    asked: list[str] = []

    @once
    def names(cluster: Cluster) -> tuple[str, ...]:
        asked.append(cluster.name)
        return tuple(cluster.hosts)

    assert {names(large) for _ in range(5)} == {tuple(large.hosts)}
    assert asked == ["big"]
    other = large.model_copy(update={"name": "other", "hosts": {}})
    assert names(other) == ()
    assert names(large) == tuple(large.hosts)
    assert asked == ["big", "other", "big"]
    assert slots(large) is slots(large)
    assert plan_fabric(large) is plan_fabric(large)
    assert {slot(large, one) for one in large.deployments.values()} == {0}


def test_what_a_gang_reads_is_worked_out_once_for_a_deployment(large: Cluster) -> None:
    asked: list[str] = []

    @once_each
    def names(cluster: Cluster, deployment: Deployment) -> tuple[str, ...]:
        asked.append(deployment.name)
        return deployment.hosts

    first, second, *_ = large.deployments.values()
    for _ in range(3):
        assert names(large, first) == first.hosts
        assert names(large, second) == second.hosts
    assert asked == [first.name, second.name]
    moved = first.model_copy(update={"hosts": second.hosts})
    assert names(large, moved) == second.hosts, "the same name is not the same deployment"
    other = large.model_copy(update={"name": "other"})
    assert names(other, first) == first.hosts
    assert asked == [first.name, second.name, first.name, first.name]


def test_segments_between_hosts_are_those_that_a_look_at_all_finds(large: Cluster) -> None:
    fabric = plan_fabric(large)
    for one in large.deployments.values():
        wanted = frozenset(one.hosts)
        assert fabric.between(wanted) == tuple(
            segment for segment in fabric.segments if len(wanted & segment.hosts) > 1
        )
    everybody = frozenset(large.hosts)
    assert fabric.between(everybody) == fabric.segments


def test_the_netplan_template_is_compiled_once(
    large: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    work = jinja2.Environment.from_string

    def counted(self: jinja2.Environment, source: str) -> jinja2.Template:
        compiled.append(source)
        return work(self, source)

    monkeypatch.setattr(jinja2.Environment, "from_string", counted)
    netplan._compiled.cache_clear()
    fabric = plan_fabric(large)
    texts = {netplan.netplan_text(large, fabric, host) for host in large.hosts}
    assert len(texts) > 1
    assert len(compiled) == 1
