"""A job is up when it is over: what waits for it goes on when it ended with 0, and falls when it did not."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.contracts import Change, Patience, World
from orchestrator.facts.ended import ReadEnded
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.steps.gang import GangStep, container_reads, log_reads


@dataclass(frozen=True, kw_only=True)
class JobEnded(GangStep):
    """The job of this content has ended well. A bad end fails at once, with its last lines."""

    query: ReadEnded

    @classmethod
    def of(
        cls, cluster: Cluster, deployment: Deployment, query: ReadEnded, patience: Patience
    ) -> JobEnded:
        name = deployment.name
        return cls(
            id=f"{name}/answer",
            role="wait",
            scope=name,
            stage="answer",
            needs=frozenset({f"{name}/rank/0"}),
            reads=container_reads(cluster, deployment)
            | log_reads(cluster, deployment)
            | {(deployment.head, query)},
            patience=patience,
            query=query,
            cluster=cluster,
            deployment=deployment,
        )

    def check(self, world: World) -> Change | None:
        if world[self.deployment.head].get(self.query).answered:
            return None
        self.watch(world)
        return self.not_yet(world, "runs")
