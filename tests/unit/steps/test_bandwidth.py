"""The gate of `up`: which links it looks at, what each setting refuses, and what is said when it is passed over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest

from orchestrator.contracts import Query, Step
from orchestrator.errors import Refused
from orchestrator.facts.fabric_left import Left
from orchestrator.facts.identity import Identify
from orchestrator.facts.pcie import ReadPcie
from orchestrator.plan.decide import decide
from orchestrator.plan.graph import ordered
from orchestrator.rdma.trials import fingerprint
from orchestrator.spec.kind_entries import Expect
from orchestrator.spec.models import Cluster, Gate
from orchestrator.steps.bandwidth import LinkCarries, bandwidth_steps
from orchestrator.steps.trial import TOOLS
from tests.captured import rdma
from tests.unit.network.clusters import cable, cluster, deployment, host, names, switch
from tests.unit.network.worlds import Answers, identity
from tests.unit.rdma.test_trials import addressed
from tests.unit.steps.test_measure import SERVERS

Word = Literal["required", "degraded-ok", "off"] | None
SAID = rdma("10d_write_bw_R_final_recipe.txt")  # 0.23 Gb/s
MOVED = (0, 10**10)


def duo(gate: Word = None, expect: Expect | None = None, **more: Any) -> Cluster:
    """Two hosts and a gang over them; both halves at once carry 0.46 Gb/s."""
    wanted = expect or Expect(half_gbps=0.1, port_gbps=0.1)
    hosts = [host(name, expect=wanted) for name in names(2)]
    gang = deployment("spark-1", "spark-2", gate=Gate(rdma=gate), **more)
    return cluster(hosts, cable("spark-1.p1", "spark-2.p1"), deployments={"vl": gang})


def steps(of: Cluster, **options: Any) -> list[Step]:
    return list(ordered(bandwidth_steps(of, options)).values())


def gate_of(of: Cluster, **options: Any) -> LinkCarries:
    (found,) = [one for one in steps(of, **options) if isinstance(one, LinkCarries)]
    return found


def world(of: Cluster, gate: LinkCarries, measured: bool = True) -> dict[str, Answers]:
    """Both hosts, with what both ends of each test left an hour ago."""
    found = {name: addressed(of, name) for name in of.hosts}
    for name in found:
        more: dict[Query[Any], Any] = {
            TOOLS: dict.fromkeys(SERVERS, "/usr/bin/x"),
            Identify(): replace(identity(), clock_epoch_s=10_000.0),
            ReadPcie(): {},
        }
        found[name] = Answers({**found[name].answers, **more})
    for going in gate.goings:
        stands = fingerprint(going.trial, found)
        for rail, test in zip(going.trial.rails, going.trial.tests(found), strict=True):
            for client, end in ((True, test.lane.client), (False, test.lane.server)):
                at = f"infiniband/{end.rdma}/ports/1/counters"
                counters = {f"{at}/{one}": MOVED for one in ("port_xmit_data", "port_rcv_data")}
                said = SAID[0 if client else 1]
                left = Left("r", 6_400, test.id, "rdma", test.effort, said, counters, stands)
                more = {going.read(rail, client): left if measured else None}
                found[end.host] = Answers({**found[end.host].answers, **more})
    return found


HEALTHY = Expect(half_gbps=0.1, port_gbps=0.1)
DEGRADED = Expect(half_gbps=0.3, port_gbps=0.6)
FAILED = Expect(half_gbps=90, port_gbps=180)


@pytest.mark.parametrize(
    ("gate", "expect", "refused"),
    [
        ("required", HEALTHY, False),
        ("required", DEGRADED, True),
        ("required", FAILED, True),
        (None, DEGRADED, False),
        (None, FAILED, True),
        ("degraded-ok", FAILED, False),
    ],
)
def test_what_each_setting_refuses(gate: Word, expect: Expect, refused: bool) -> None:
    of = duo(gate, expect)
    step = gate_of(of)
    if refused:
        with pytest.raises(Refused) as why:
            step.check(world(of, step))
        assert "spark-1.p1~spark-2.p1" in str(why.value) and "Gb/s" in str(why.value)
        assert "--accept-degraded" in why.value.hint
    else:
        assert step.check(world(of, step)) is None
        assert bool(step.remarks(world(of, step))) is (expect is not HEALTHY)


def test_what_nobody_measured_is_no_pass_where_rdma_is_required() -> None:
    of = duo("required")
    step = gate_of(of)
    with pytest.raises(Refused, match="can't be judged"):
        step.check(world(of, step, measured=False))


def test_accepted_is_said() -> None:
    of = duo("required", FAILED)
    step = gate_of(of, accept=True)
    found = world(of, step)
    assert step.check(found) is None
    (remark,) = step.remarks(found)
    assert "--accept-degraded" in remark


def test_a_fresh_result_is_used_and_nothing_is_measured() -> None:
    of = duo()
    every = {one.id: replace(one, on_demand=False) for one in steps(of)}
    (gate,) = [one for one in every.values() if isinstance(one, LinkCarries)]
    found = world(of, gate)
    for one in every.values():
        for where, query in one.reads:
            found[where] = with_default(found[where], query)
    decision = decide(every, found)
    assert not decision.plan.changes and not decision.problems and not decision.missing


def with_default(facts: Answers, query: Query[Any]) -> Answers:
    """No job has run, nobody listens."""
    from orchestrator.facts.accepting import ReadAccepting
    from orchestrator.facts.job import Job, JobState

    if query in facts.answers:
        return facts
    if isinstance(query, Job):
        return Answers({**facts.answers, query: JobState(query.name, "absent")})
    assert isinstance(query, ReadAccepting), query
    return Answers({**facts.answers, query: frozenset()})


def test_everything_is_on_demand() -> None:
    assert all(one.on_demand and one.scope == "vl" for one in steps(duo()))


def test_links_without_a_meaning_are_left_alone() -> None:
    assert steps(duo("off")) == []
    assert steps(duo(expect=Expect())) == []
    assert steps(duo(expect=Expect(tcp_gbps=0.1, relative="what this machine can"))) == []


def test_both_directions_are_measured_and_a_single_rail_alone() -> None:
    for rails, load in (("dual", "h1+2/together"), ("single", "h1/alone")):
        goings = gate_of(duo(rails=rails)).goings
        told = [one.trial.name.partition("/")[2] for one in goings]
        assert told == [f"spark-1>spark-2/{load}", f"spark-2>spark-1/{load}"]


def test_behind_a_switch_only_the_gangs_own_hosts() -> None:
    hosts = [host(name, expect=HEALTHY) for name in names(4)]
    gang = deployment("spark-1", "spark-3")
    of = cluster(hosts, switch("s1", *(f"{one}.p0" for one in names(4))), deployments={"vl": gang})
    touched = {where for one in steps(of) for where in one.touches}
    assert touched == {"spark-1", "spark-3"}
