"""A gang restarts whole, never one rank: if one differs or is down, all go, from all their hosts.

Ranks carry their gang's hash (`ORCH_GANG`), so that a change of one is a change of all. A rank that died
makes its whole gang go here; then every rank is missing, and `start` starts them all at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.facts.answers import Container
from orchestrator.script import Script
from orchestrator.spec.models import Cluster
from orchestrator.steps.down import STOP_S, stopping
from orchestrator.steps.gang import GangStep, has_ranks, ours, rank_reads


@dataclass(frozen=True, kw_only=True)
class StopGang(GangStep):
    """Takes this host's ranks away when the gang is not whole as it should be."""

    def _here(self, world: World) -> list[Container]:
        return [
            one
            for one in world[self.host or ""].get(ours(self.cluster, self.host or ""))
            if one.labels.get("orch.deployment") == self.deployment.name
        ]

    def check(self, world: World) -> Change | None:
        here = self._here(world)
        if not here:
            return None
        ranks = self.ranks(world)
        wrong = {rank.name: why for rank in ranks if (why := self.why_different(world, rank))}
        wanted = {rank.name for rank in ranks if rank.host == self.host}
        wrong |= {one.name: "has no place here" for one in here if one.name not in wanted}
        if not wrong:
            return None
        first, why = next(iter(wrong.items()))
        names = ", ".join(one.name for one in here)
        return Change(f"stop {names}: {first} {why}, and a gang restarts whole")

    def apply(self, change: Change, world: World) -> Script:
        return stopping(self.cluster, self.host or "", self._here(world))


def stop_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterator[Step]:
    """For each deployment and host. Ranks on other hosts are stale: the stage of that name takes them."""
    patience = Patience(total=STOP_S, stall=STOP_S)
    for name, deployment in cluster.deployments.items():
        for host in dict.fromkeys(deployment.hosts if has_ranks(deployment) else ()):
            yield StopGang(
                id=f"{name}/stop/{host}",
                host=host,
                scope=name,
                stage="stop",
                on_demand=True,
                cluster=cluster,
                deployment=deployment,
                reads=rank_reads(cluster, deployment),
                patience=patience,
            )


STAGES = {"stop": stop_steps}
