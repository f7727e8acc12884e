"""The only proof that a deployment serves: a real completion came back, or a vector where it embeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Proof, Query, Step, World
from orchestrator.errors import Failed
from orchestrator.facts.completion import Completion
from orchestrator.facts.embedding import Embedding
from orchestrator.ranks.tasks import embeds
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.spec.services import UNRANKED
from orchestrator.steps.gang import (
    JOB,
    GangStep,
    container_reads,
    log_reads,
    own_proof,
    own_steps,
)
from orchestrator.steps.join import patience


def question(deployment: Deployment) -> Completion | Embedding:
    """What it is asked; also for others that want to know whether it still answers."""
    bind = deployment.endpoint.bind
    kind = Embedding if embeds(deployment.profile) else Completion
    return kind(
        port=deployment.port,
        model=deployment.profile.served_name or deployment.profile.model,
        address=bind if bind and bind != "0.0.0.0" else "127.0.0.1",  # noqa: S104
        key=f"{deployment.name}/api_key" if deployment.profile.api_key is not None else "",
    )


def proof(cluster: Cluster, deployment: Deployment) -> Query[Proof]:
    """What shows that it is up: of a model the answer to a question, of anything else what its engine says."""
    return own_proof(cluster, deployment) or question(deployment)


@dataclass(frozen=True, kw_only=True)
class Answers(GangStep):
    """The head answers a question. A rank that has ended is told at once; loading moves its patience."""

    def check(self, world: World) -> Change | None:
        self.watch(world)
        answer = world[self.deployment.head].get(proof(self.cluster, self.deployment))
        if answer.answered:
            return None
        if answer.hopeless:
            raise Failed(
                f"{self.deployment.name} does not answer: {answer.why}",
                host=self.deployment.head,
                step=self.id,
                hint=f"orch logs {self.deployment.name}",
            )
        what = "loading" if answer.status in (0, 503) else f"no answer yet ({answer.why})"
        return self.not_yet(world, what)


def answer_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    for name, deployment in cluster.deployments.items():
        if deployment.profile.engine_key in UNRANKED | {JOB}:
            yield from own_steps(cluster, deployment, "answer")
            continue
        ranks = frozenset(f"{name}/rank/{index}" for index in range(len(deployment.hosts)))
        yield Answers(
            id=f"{name}/answer",
            role="wait",
            scope=name,
            stage="answer",
            needs=ranks | {f"{name}/join"},
            reads=container_reads(cluster, deployment)
            | log_reads(cluster, deployment)
            | {(deployment.head, proof(cluster, deployment))},
            patience=patience(deployment),
            cluster=cluster,
            deployment=deployment,
        )


STAGES = {"answer": answer_steps}
