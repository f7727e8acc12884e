"""Why here: a port or a name that a stranger has is found before anything is done for the gang that wants it.

`start` looks once more, when what had to go is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Query, Rank, World
from orchestrator.errors import NotRead, OrchError, Refused
from orchestrator.facts import ReadContainers, ReadListening
from orchestrator.facts.answers import Container, ListeningPort
from orchestrator.facts.containers import CLUSTER
from orchestrator.facts.engine_words import typed
from orchestrator.facts.processes import held
from orchestrator.ranks.build import PROCESS
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.steps.gang import GangStep, Reads, found, has_ranks, names, ours, rank_reads

Holders = Query[tuple[Container, ...]]
RUNNING = frozenset({"running", "restarting", "paused"})


@dataclass(frozen=True, kw_only=True)
class Room(GangStep):
    """Nobody else listens where this host's ranks will, and no stranger's container has their names."""

    def check(self, world: World) -> Change | None:
        strangers = list(self._strangers(world))
        if strangers:
            raise self._name_taken(strangers[0])
        taken = self._taken(world)
        if taken:
            raise self._port_taken(taken)
        return None

    def _strangers(self, world: World) -> Iterator[Container]:
        host = self.host or ""
        for query in _holders(self.cluster, self.deployment, host):
            for one in world[host].get(query):
                if one.labels.get(CLUSTER) != self.cluster.name:
                    yield one

    def _taken(self, world: World) -> list[ListeningPort]:
        host = self.host or ""
        mine = [rank for rank in self._ranks(world) if rank.host == host]
        if any(found(world, self.cluster, host, rank.name) for rank in mine):
            return []  # our own ranks hold them; they are stopped before they are started
        wanted = {port for rank in mine for port in rank.ports}
        return [one for one in world[host].get(ReadListening()) if one.port in wanted]

    def _ranks(self, world: World) -> Iterable[Rank]:
        return self.ranks(world)

    def _name_taken(self, one: Container) -> Refused:
        owner = one.labels.get(CLUSTER)
        called = typed(self.cluster.hosts[self.host or ""].runtime)
        whose = f"of the cluster {owner}" if owner else "that orch did not start"
        return Refused(
            f"a container {whose} is named {one.name} ({one.image}, {one.state}): it is left alone",
            host=self.host,
            step=self.id,
            hint=f"on {self.host}: {called} rename {one.name} {one.name}-old, or remove it",
        )

    def _port_taken(self, taken: Iterable[ListeningPort]) -> Refused:
        told = sorted(
            {
                f"{one.port} by {one.process or 'an unknown process'}"
                + (f" (pid {one.pid})" if one.pid else "")
                for one in taken
            }
        )
        return Refused(
            f"ports that {self.deployment.name} needs are taken: {', '.join(told)}",
            host=self.host,
            step=self.id,
            hint="stop what listens there, or set another `port:` (Ray's: `ray:` in the profile)",
        )


@dataclass(frozen=True, kw_only=True)
class EarlyRoom(Room):
    """The same before anything is done: only what can be told by now, and nothing about what is to go."""

    def _strangers(self, world: World) -> Iterator[Container]:
        return (one for one in super()._strangers(world) if one.name not in self.cluster.takeover)

    def _taken(self, world: World) -> list[ListeningPort]:
        return [] if self._going(world) else super()._taken(world)

    def _going(self, world: World) -> bool:
        """Containers of ours or named by `takeover:` may be the ones in the way, and may be about to go."""
        host = self.host or ""
        here = [*world[host].get(ours(self.cluster, host))]
        for query in _aside(self.cluster, host):
            here += world[host].get(query)
        return any(one.state in RUNNING for one in here)

    def _ranks(self, world: World) -> Iterable[Rank]:
        try:
            return self.ranks(world)
        except NotRead:
            raise
        except OrchError:
            return ()  # who they are is not known yet: `start` tells


def _holders(cluster: Cluster, deployment: Deployment, host: str) -> Iterator[Holders]:
    """One question for each rank of this host: who has its name?"""
    for name, where in names(cluster, deployment).items():
        if where == host:
            yield held(cluster.hosts[host].runtime, name=name)


def _aside(cluster: Cluster, host: str) -> list[ReadContainers]:
    if cluster.hosts[host].runtime == PROCESS:
        return []
    return [ReadContainers(cluster.hosts[host].runtime, name=name) for name in cluster.takeover]


def room_reads(cluster: Cluster, deployment: Deployment, host: str) -> Reads:
    """What it takes to know who is in the way on this host."""
    holders = frozenset((host, one) for one in _holders(cluster, deployment, host))
    return holders | {(host, ReadListening())}


def room_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterator[EarlyRoom]:
    """For each deployment and host."""
    for name, deployment in cluster.deployments.items():
        for host in dict.fromkeys(deployment.hosts if has_ranks(deployment) else ()):
            aside = frozenset((host, query) for query in _aside(cluster, host))
            reads = rank_reads(cluster, deployment) | room_reads(cluster, deployment, host)
            yield EarlyRoom(
                id=f"{name}/room/{host}",
                role="gate",
                host=host,
                scope=name,
                stage="room",
                on_demand=True,
                reads=reads | aside,
                cluster=cluster,
                deployment=deployment,
            )


STAGES = {"room": room_steps}
