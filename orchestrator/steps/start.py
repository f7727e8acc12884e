"""Starts gangs: all ranks at once, after their ports and names are free. What must go before that goes in `stop`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Rank, Step, World
from orchestrator.ranks.spec import differences
from orchestrator.runtimes import runtime
from orchestrator.script import Script
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.steps.gang import (
    GangStep,
    after_all,
    found,
    has_ranks,
    last_words,
    log_read,
    names,
    own_steps,
    rank_reads,
)
from orchestrator.steps.room import Room, room_reads

START_S = 300.0


@dataclass(frozen=True, kw_only=True)
class RankRuns(GangStep):
    """One rank, started all at once with the others; who waits for whom is in the entrypoints."""

    index: int

    def _rank(self, world: World) -> Rank:
        return self.ranks(world)[self.index]

    def check(self, world: World) -> Change | None:
        rank = self._rank(world)
        why = self.why_different(world, rank)
        if not why:
            return None
        container = found(world, self.cluster, rank.host, rank.name)
        if container is None:
            return Change(f"start {rank.role} {rank.name}", diff=differences(None, rank))
        log = self.log(world, rank.name)
        last = f" (last line: {log.last})" if container.state == "exited" and log.last else ""
        return Change(
            f"restart {rank.role} {rank.name}: it {why}{last}",
            diff=differences(container.labels.get("orch.spec"), rank),
            unmet=f"rank {rank.name} {why}",
            log="\n".join(last_words(log)),
            hint=f"orch logs {self.deployment.name}",
        )

    def apply(self, change: Change, world: World) -> Script:
        rank = self._rank(world)
        return runtime(self.cluster.hosts[rank.host].runtime).start(rank)


def _steps(cluster: Cluster, deployment: Deployment) -> Iterable[Step]:
    name = deployment.name
    hosts = tuple(dict.fromkeys(deployment.hosts))
    reads = rank_reads(cluster, deployment)
    patience = Patience(total=START_S, stall=START_S)
    common: dict[str, Any] = {
        "cluster": cluster,
        "deployment": deployment,
        "scope": name,
        "stage": "start",
        "patience": patience,
    }
    stops = frozenset(f"{name}/stop/{host}" for host in hosts)
    for host in hosts:
        yield Room(
            id=f"{name}/ports/{host}",
            role="gate",
            host=host,
            on_demand=True,
            needs=frozenset({f"{name}/stop/{host}"}),
            reads=reads | room_reads(cluster, deployment, host),
            **common,
        )
    ports = frozenset(f"{name}/ports/{host}" for host in hosts)
    for index, host in enumerate(deployment.hosts):
        log = log_read(cluster, host, list(names(cluster, deployment))[index])
        yield RankRuns(
            id=f"{name}/rank/{index}",
            host=host,
            index=index,
            needs=stops | ports | after_all(cluster, deployment),
            reads=reads | {(host, log)},
            **common,
        )


def start_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """Every deployment's stops, free ports and ranks."""
    for deployment in cluster.deployments.values():
        if has_ranks(deployment):
            yield from _steps(cluster, deployment)
        else:
            yield from own_steps(cluster, deployment, "start")


STAGES = {"start": start_steps}
