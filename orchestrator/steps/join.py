"""The join barrier, seen from outside: the head's entrypoint leaves a mark when its gang is complete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.facts.rank_mark import ReadRankMark
from orchestrator.ranks.entrypoint import RUN
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.spec.units import parse_duration
from orchestrator.steps.gang import GangStep, container_reads, log_reads, names, own_steps

JOINED = f"{RUN}/joined"
BARRIER = "orch: barrier: "  # what the head's barrier says before who is missing: templates/vllm/ray-gang.py


def patience(deployment: Deployment) -> Patience:
    """`ready:` of the profile; what the ranks write counts as progress."""
    ready = deployment.profile.ready
    return Patience(total=parse_duration(ready.start), stall=parse_duration(ready.stall))


def _mark(cluster: Cluster, deployment: Deployment) -> ReadRankMark:
    head = cluster.hosts[deployment.head]
    return ReadRankMark(next(iter(names(cluster, deployment))), JOINED, head.runtime)


@dataclass(frozen=True, kw_only=True)
class Joined(GangStep):
    """Every node is a member of the gang, at its address, with its GPUs."""

    @classmethod
    def of(cls, cluster: Cluster, deployment: Deployment) -> Joined:
        name = deployment.name
        mark = _mark(cluster, deployment)
        return cls(
            id=f"{name}/join",
            role="wait",
            scope=name,
            stage="join",
            needs=frozenset(f"{name}/rank/{index}" for index in range(len(deployment.hosts))),
            reads=container_reads(cluster, deployment)
            | log_reads(cluster, deployment)
            | {(deployment.head, mark)},
            patience=patience(deployment),
            cluster=cluster,
            deployment=deployment,
        )

    def check(self, world: World) -> Change | None:
        self.watch(world)
        name = next(iter(self.names))
        if world[self.deployment.head].get(_mark(self.cluster, self.deployment)):
            return None
        said = (line for line in reversed(self.log(world, name).lines) if line.startswith(BARRIER))
        return self.not_yet(world, next(said, "").removeprefix(BARRIER) or "Ray is starting")


def join_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """Engines know whether there is something to join."""
    for deployment in cluster.deployments.values():
        yield from own_steps(cluster, deployment, "join")


STAGES = {"join": join_steps}
