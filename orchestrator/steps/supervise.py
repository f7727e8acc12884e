"""Who starts a rank again is decided after the gang was ready once: before, nothing restarts by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.facts.container_engine import ReadContainerEngine
from orchestrator.facts.engine_words import program
from orchestrator.runtimes import runtime
from orchestrator.script import Script
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.steps.gang import GangStep, Reads, found, rank_reads

# Source: podman's release notes of 5.1.0, "--restart" of `podman update` (pull request 22322)
UPDATES = (5, 1)


def _numbers(version: str) -> tuple[int, ...]:
    """The first two; a version that can't be read is taken for an old one."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


@dataclass(frozen=True, kw_only=True)
class Supervised(GangStep):
    """The rank's restart policy is what its supervision wants."""

    index: int

    def check(self, world: World) -> Change | None:
        rank = self.ranks(world)[self.index]
        container = found(world, self.cluster, rank.host, rank.name)
        if container is None:
            return Change(f"set the restart policy of {rank.name} to {rank.restart}")
        if (container.restart_policy or "no") == rank.restart or self.stuck(world, rank.host):
            return None
        return Change(
            f"set the restart policy of {rank.name} from {container.restart_policy or 'no'}"
            f" to {rank.restart}"
        )

    def stuck(self, world: World, host: str) -> str:
        """Why the policy stays what it was at the start; "" where it can be changed."""
        runtime = self.cluster.hosts[host].runtime
        if program(runtime) != "podman":
            return ""
        version = world[host].get(ReadContainerEngine(runtime)).version
        return f"podman {version}" if _numbers(version) < UPDATES else ""

    def remarks(self, world: World) -> Sequence[str]:
        rank = self.ranks(world)[self.index]
        old = self.stuck(world, rank.host) if rank.restart != "no" else ""
        if not old:
            return ()
        return (
            f"{old} on {rank.host} can't change a restart policy (5.1 can): nothing starts {rank.name}"
            " again when it ends, as with `supervision: none`",
        )

    def apply(self, change: Change, world: World) -> Script:
        rank = self.ranks(world)[self.index]
        how = runtime(self.cluster.hosts[rank.host].runtime)
        return how.supervise(rank.name, rank.restart)


def _engines(cluster: Cluster, deployment: Deployment) -> Reads:
    runtimes = {host: cluster.hosts[host].runtime for host in deployment.hosts}
    return frozenset(
        (host, ReadContainerEngine(one))
        for host, one in runtimes.items()
        if program(one) == "podman"
    )


def supervise_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    for name, deployment in cluster.deployments.items():
        if deployment.supervision != "entrypoint":
            continue
        reads = rank_reads(cluster, deployment) | _engines(cluster, deployment)
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
