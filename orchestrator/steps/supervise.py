"""Who starts a rank again is decided after the gang was ready once: before, nothing restarts by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.runtimes import runtime
from orchestrator.script import Script
from orchestrator.spec.models import Cluster
from orchestrator.steps.gang import GangStep, found, rank_reads


@dataclass(frozen=True, kw_only=True)
class Supervised(GangStep):
    """The rank's restart policy is what its supervision wants."""

    index: int

    def check(self, world: World) -> Change | None:
        rank = self.ranks(world)[self.index]
        container = found(world, self.cluster, rank.host, rank.name)
        if container is None:
            return Change(f"set the restart policy of {rank.name} to {rank.restart}")
        if (container.restart_policy or "no") == rank.restart:
            return None
        return Change(
            f"set the restart policy of {rank.name} from {container.restart_policy or 'no'}"
            f" to {rank.restart}"
        )

    def apply(self, change: Change, world: World) -> Script:
        rank = self.ranks(world)[self.index]
        how = runtime(self.cluster.hosts[rank.host].runtime)
        return how.supervise(rank.name, rank.restart)


def supervise_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    for name, deployment in cluster.deployments.items():
        if deployment.supervision != "entrypoint":
            continue
        reads = rank_reads(cluster, deployment)
        for index, host in enumerate(deployment.hosts):
            yield Supervised(
                id=f"{name}/supervise/{index}",
                host=host,
                scope=name,
                stage="supervise",
                needs=frozenset({f"{name}/answer", f"{name}/warmup"}),
                reads=reads,
                patience=Patience(total=60, stall=60),
                index=index,
                cluster=cluster,
                deployment=deployment,
            )


STAGES = {"supervise": supervise_steps}
