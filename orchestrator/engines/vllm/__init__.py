"""vLLM over Ray, over its own multi-node mode, or on one host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Query, Rank, Step, World
from orchestrator.engines.vllm import plain, ray
from orchestrator.engines.vllm.ports import executor
from orchestrator.engines.vllm.rules import findings
from orchestrator.engines.vllm.serve import serve, serves
from orchestrator.facts.help import Options
from orchestrator.network.environment import environment_reads
from orchestrator.ranks.arguments import program
from orchestrator.ranks.health import with_health
from orchestrator.ranks.spec import as_gang
from orchestrator.spec.models import Cluster, Deployment, Finding
from orchestrator.steps.arguments import Arguments
from orchestrator.steps.join import Joined
from orchestrator.steps.programs import Programs


@dataclass(frozen=True)
class Vllm:
    """See contracts.Engine."""

    name: str = "vllm"

    def validate(self, cluster: Cluster, deployment: Deployment) -> Sequence[Finding]:
        return findings(cluster, deployment)

    def ranks(self, cluster: Cluster, deployment: Deployment, world: World) -> Sequence[Rank]:
        how = ray if executor(deployment) == "ray" else plain
        python = program(deployment.profile, "python3")[0]
        return as_gang(
            with_health(cluster, deployment, one, python)
            for one in how.ranks(cluster, deployment, world)
        )

    def reads(self, cluster: Cluster, deployment: Deployment) -> frozenset[tuple[str, Query[Any]]]:
        return environment_reads(cluster, deployment)

    def steps(self, cluster: Cluster, deployment: Deployment) -> Sequence[Step]:
        """The image has what it needs; over Ray, everybody is there before the engine starts."""
        over_ray = executor(deployment) == "ray"
        names = ["vllm", "ray", "python3"] if over_ray else ["vllm"]
        if deployment.profile.entrypoint and not over_ray:
            names = []
        programs = {name: program(deployment.profile, name)[0] for name in names}
        made = Programs.everywhere(cluster, deployment, programs)
        if over_ray and len(deployment.hosts) > 1:
            made.append(Joined.of(cluster, deployment))
        if not deployment.profile.entrypoint:
            made.append(_arguments(cluster, deployment))
        return made


def _arguments(cluster: Cluster, deployment: Deployment) -> Step:
    """What the head is told is what its vLLM takes. Only with `=all` does it list everything, since 0.10."""

    def line(_: Options | None) -> Sequence[str]:
        addresses = deployment.hosts  # which they are makes no difference to the arguments' names
        how = ray if executor(deployment) == "ray" else plain
        own = how.own(cluster, deployment, 0, addresses)
        return serve(cluster, deployment, own)

    ways = (("--help=all",), ("--help",))
    return Arguments.of(cluster, deployment, serves(deployment.profile), line, ways=ways)


ENGINE = Vllm()
