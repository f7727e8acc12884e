"""Before a start: links that the gang's data goes over carry what they should, as measured lately or now.

`gate: {rdma: required}` refuses all but healthy links; without a word only failed ones; `degraded-ok` refuses
none and says what it found. Links of which nobody knows what they should carry are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.errors import Refused
from orchestrator.facts.fabric_left import Left
from orchestrator.network.fabric import Fabric
from orchestrator.network.topology import plan_fabric
from orchestrator.rdma.answers import LinkVerdict, State
from orchestrator.rdma.trials import QUICK, Pair, Trial, pairs, trials
from orchestrator.rdma.verdict import link_verdict
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.steps.measure import turns_of
from orchestrator.steps.trial import FACTS, TOOLS, Going, Reads, going, steps_of

FRESH_S = (
    24 * 3600.0
)  # a result of a full or a quick run; a boot, a new kernel or firmware end it before
REFUSES: Mapping[str | None, frozenset[State]] = {
    "required": frozenset(("failed", "degraded", "unknown")),
    None: frozenset(("failed",)),
    "degraded-ok": frozenset(),
}


STATES: Mapping[State, str] = {
    "healthy": "is healthy",
    "degraded": "is degraded",
    "failed": "fails",
    "unknown": "can't be judged",
}


@dataclass(frozen=True, kw_only=True)
class LinkCarries(Step):
    """One link of a deployment carries what it should."""

    cluster: Cluster
    deployment: str
    pair: Pair
    goings: tuple[Going, ...]
    accept: bool

    def verdict(self, world: World) -> LinkVerdict:
        """From what the last measurement left."""
        by_trial = {one.trial: one for one in self.goings}

        def lefts(trial: Trial, client: bool) -> Sequence[Left | None]:
            return by_trial[trial].found(world, client)

        chosen = [one.trial for one in self.goings]
        fabric = plan_fabric(self.cluster)
        return link_verdict(self.cluster, fabric, self.pair, chosen, world, lefts)

    def check(self, world: World) -> Change | None:
        found = self.verdict(world)
        gate = self.cluster.deployments[self.deployment].gate.rdma
        if self.accept or found.state not in REFUSES[gate]:
            return None
        raise Refused(
            f"{self.deployment}: {told(found)}",
            host=self.pair.first,
            step=self.id,
            hint=hint(found),
        )

    def remarks(self, world: World) -> Sequence[str]:
        found = self.verdict(world)
        if found.state == "healthy":
            return ()
        gate = self.cluster.deployments[self.deployment].gate.rdma
        why = "--accept-degraded" if self.accept else f"gate.rdma is {gate or 'not said'}"
        return [f"{self.deployment} starts all the same ({why}): {told(found)}"]


def told(found: LinkVerdict) -> str:
    """The link, its number, what it should be, and the cause."""
    number = "no number could be had" if found.gbps is None else f"it carries {found.gbps:.4g} Gb/s"
    least = found.expected.healthy_gbps
    wanted = "" if least is None else f", {least:.4g} or more are expected"
    cause = next((one.cause for one in _reasons(found)), "")
    tail = f": {cause}" if cause else ""
    return f"the link {found.link} {STATES[found.state]}, {number}{wanted}{tail}"


def hint(found: LinkVerdict) -> str:
    """What to do about it, and the way around it."""
    remedy = next((one.remedy for one in _reasons(found) if one.remedy), "")
    around = "`orch verify-rdma` says more; `orch up --accept-degraded` starts all the same"
    return f"{remedy}; {around}" if remedy else around


def _reasons(found: LinkVerdict) -> Iterator[Any]:
    yield from found.reasons
    for lane in found.lanes:
        yield from lane.reasons


def bandwidth_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """A quick measurement of each link of a gang, where its kinds or the inventory say what it should carry."""
    fabric = plan_fabric(cluster)
    users: dict[Pair, list[str]] = {}
    for name, deployment in cluster.deployments.items():
        for pair in gated(cluster, fabric, deployment):
            users.setdefault(pair, []).append(name)
    accept = bool(options.get("accept", False))
    last: dict[Pair, frozenset[str]] = {}
    for pair, before in turns_of(tuple(users), fabric):
        turns = frozenset().union(*(last[one] for one in before))
        for name in users[pair]:
            made = list(_of_link(cluster, fabric, cluster.deployments[name], pair, turns, accept))
            yield from made
            turns = frozenset(one.id for one in made[:-1])
        last[pair] = turns


def gated(cluster: Cluster, fabric: Fabric, deployment: Deployment) -> tuple[Pair, ...]:
    """The deployment's links that have an expectation."""
    if deployment.gate.rdma == "off" or len(set(deployment.hosts)) < 2:
        return ()
    hosts = frozenset(deployment.hosts)
    return tuple(one for one in pairs(fabric.for_nccl, hosts) if _expects(cluster, one))


def _expects(cluster: Cluster, pair: Pair) -> bool:
    """Whether the numbers mean something: those of a rehearsal host say what this machine can, no more."""
    each = [cluster.hosts[host].expect for host in (pair.first, pair.second)]
    return all(not one.relative and (one.half_gbps or one.tcp_gbps) for one in each)


def _of_link(
    cluster: Cluster,
    fabric: Fabric,
    deployment: Deployment,
    pair: Pair,
    turns: frozenset[str],
    accept: bool,
) -> Iterator[Step]:
    """The measurement, then the gate."""
    name = deployment.name
    more: dict[str, Any] = {"scope": name, "on_demand": True}
    goings: list[Going] = []
    facts: Reads = frozenset(
        (host, query) for host in (pair.first, pair.second) for query in (*FACTS, TOOLS)
    )
    needs: frozenset[str] = frozenset()
    used = fabric
    if deployment.rails == "single":
        used = Fabric(tuple(one for one in fabric.segments if not one.half))
    for trial in trials(used, pair, QUICK):
        one = going(cluster, trial, "", FRESH_S)
        goings.append(one)
        four = steps_of(one, needs, turns, prefix=f"{name}/fabric", facts=facts, **more)
        yield from four
        needs, turns = frozenset({four[2].id, four[3].id}), frozenset()
    reads = facts.union(*(one.reads(True) | one.reads(False) for one in goings))
    yield LinkCarries(
        id=f"{name}/bandwidth/{pair.name}",
        role="gate",
        host=pair.first,
        needs=needs,
        reads=reads,
        patience=Patience(total=60, stall=60),
        cluster=cluster,
        deployment=name,
        pair=pair,
        goings=tuple(goings),
        accept=accept,
        **more,
    )


STAGES = {"bandwidth": bandwidth_steps}
OPTIONS = {"bandwidth": ("accept",)}
