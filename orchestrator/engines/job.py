"""A container that runs to its end: quantise, download, evaluate. Done once for what it says; with 0, or it failed.

That it is done is kept on its host beside the container: `down` takes the container, and the work stays done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from orchestrator.contracts import Patience, Proof, Query, Rank, Step, World
from orchestrator.facts.ended import ReadEnded
from orchestrator.flags import flags
from orchestrator.question import question
from orchestrator.ranks.build import ROOT_STATE
from orchestrator.ranks.service import service_findings, service_rank
from orchestrator.ranks.spec import as_gang, digest
from orchestrator.spec.models import Cluster, Deployment, Finding
from orchestrator.spec.services import listens
from orchestrator.spec.units import parse_duration
from orchestrator.steps.ended import JobEnded
from orchestrator.steps.recorded import JobRecorded

NAME = "job"


def job_rank(cluster: Cluster, deployment: Deployment) -> Rank:
    """From the files alone."""
    ports = frozenset(listens(deployment))
    (one,) = as_gang([service_rank(cluster, deployment, NAME, ports=ports)])
    return one


def ended(cluster: Cluster, deployment: Deployment) -> ReadEnded:
    """Whether this content is done."""
    rank = job_rank(cluster, deployment)
    mark = f"{rank.state}/done/{cluster.name}/{deployment.name}"
    runtime = cluster.hosts[rank.host].runtime
    return ReadEnded(runtime, rank.name, mark, digest(rank), sudo=rank.state == ROOT_STATE)


def patience(deployment: Deployment) -> Patience:
    """`ready:` where the profile says it: a job is not late after half an hour."""
    ready, figures = deployment.profile.ready, flags(NAME)["patience"]
    told = ready.model_fields_set
    total = parse_duration(ready.start) if "start" in told else float(figures["start_s"])
    stall = parse_duration(ready.stall) if "stall" in told else float(figures["stall_s"])
    return Patience(total=total, stall=stall)


@question
class Job:
    """See contracts.Service."""

    name: str = NAME

    def validate(self, cluster: Cluster, deployment: Deployment) -> Sequence[Finding]:
        return tuple(_findings(cluster, deployment))

    def ranks(self, cluster: Cluster, deployment: Deployment, world: World) -> Sequence[Rank]:
        return (job_rank(cluster, deployment),)

    def reads(self, cluster: Cluster, deployment: Deployment) -> frozenset[tuple[str, Query[Any]]]:
        return frozenset({(deployment.head, ended(cluster, deployment))})

    def steps(self, cluster: Cluster, deployment: Deployment) -> Sequence[Step]:
        query = ended(cluster, deployment)
        return (
            JobEnded.of(cluster, deployment, query, patience(deployment)),
            JobRecorded.of(cluster, deployment, query),
        )

    def proof(self, cluster: Cluster, deployment: Deployment) -> Query[Proof]:
        return ended(cluster, deployment)


def _findings(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    yield from service_findings(cluster, deployment, ("compose", "unit", "container_port"))
    where = f"profiles.{deployment.profile.name}.ready"
    for key in ("http", "command"):
        if getattr(deployment.profile.ready, key) is not None:
            yield Finding(
                message="a job is done when it has ended with exit code 0", path=f"{where}.{key}"
            )
    if deployment.supervision != "none":
        yield Finding(
            message="a job that fails is not started again by itself",
            path=f"deployments.{deployment.origin}.supervision",
            suggestion="leave it out; the next `orch up` runs it again",
        )


ENGINE = Job()
