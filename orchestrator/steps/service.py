"""What services without ranks share: they are up by a proof of their own, and only what orch started is stopped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Proof, Query, Step, World
from orchestrator.engines import engine
from orchestrator.errors import Failed
from orchestrator.facts.kept_services import Kept, ReadKept
from orchestrator.script import Command, Script
from orchestrator.spec.derived import once
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.spec.services import UNRANKED
from orchestrator.spec.units import parse_duration
from orchestrator.steps.gang import GangStep, after_all, own_proof

STOP_S = 180.0


def start_parts(cluster: Cluster, deployment: Deployment) -> dict[str, Any]:
    """What a start step has, whatever it starts. It is called a rank, as what others wait for is."""
    name = deployment.name
    return {
        "id": f"{name}/rank/0",
        "host": deployment.head,
        "scope": name,
        "stage": "start",
        "needs": after_all(cluster, deployment),
        "cluster": cluster,
        "deployment": deployment,
    }


@dataclass(frozen=True, kw_only=True)
class ServiceUp(GangStep):
    """The service's own proof."""

    query: Query[Proof]

    @classmethod
    def of(cls, cluster: Cluster, deployment: Deployment) -> ServiceUp:
        name, ready = deployment.name, deployment.profile.ready
        query = own_proof(cluster, deployment)
        if query is None:
            raise TypeError(f"{deployment.profile.engine} says nothing that proves that it is up")
        return cls(
            id=f"{name}/answer",
            role="wait",
            scope=name,
            stage="answer",
            needs=frozenset({f"{name}/rank/0"}),
            reads=frozenset({(deployment.head, query)}),
            patience=Patience(total=parse_duration(ready.start), stall=parse_duration(ready.stall)),
            query=query,
            cluster=cluster,
            deployment=deployment,
        )

    def check(self, world: World) -> Change | None:
        found = world[self.deployment.head].get(self.query)
        if found.answered:
            return None
        if found.hopeless:
            raise Failed(
                f"{self.deployment.name} is not up: {found.why}",
                host=self.deployment.head,
                step=self.id,
                hint=f"orch logs {self.deployment.name}",
            )
        return Change(found.why or "not up yet", progress=found.why)


@dataclass(frozen=True, kw_only=True)
class StopService(Step):
    """What orch started of this deployment, or of those that the files do not place here, is stopped."""

    cluster: str
    deployment: str | None
    known: frozenset[str] = frozenset()

    def _here(self, world: World) -> list[Kept]:
        kept = world[self.host or ""].get(ReadKept(self.cluster))
        if self.deployment is not None:
            return [kept[self.deployment]] if self.deployment in kept else []
        return [one for name, one in kept.items() if name not in self.known]

    def check(self, world: World) -> Change | None:
        told = ", ".join(f"{one.shown}{self._why(one)}" for one in self._here(world))
        return Change(f"stop {told}") if told else None

    def _why(self, one: Kept) -> str:
        return f" (the files place no {one.deployment} here)" if self.deployment is None else ""

    def apply(self, change: Change, world: World) -> Script:
        commands: dict[str, Command] = {}
        for one in self._here(world):
            stop: Script = getattr(engine(one.kind), "stop")(self.cluster, one)  # noqa: B009
            commands |= {f"{one.deployment}: {name}": c for name, c in stop.commands.items()}
        return Script(commands, mutates=True)


def service_down_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterator[Step]:
    """Of each host that may have some: what the files place there, and what they do not know any more."""
    for host in cluster.hosts:
        yield unplaced(cluster, host, id=f"down-services/{host}", stage="down-services")
        for name in sorted(placed_services(cluster, host)):
            yield StopService(
                id=f"down-services/{name}/{host}",
                stage="down-services",
                scope=name,
                deployment=name,
                needs=_after(cluster, name),
                **_of_host(cluster, host),
            )


def unplaced(cluster: Cluster, host: str, **own: Any) -> StopService:
    """What orch started there and the files place there no more."""
    known = placed_services(cluster, host)
    return StopService(deployment=None, known=known, **_of_host(cluster, host), **own)


def _of_host(cluster: Cluster, host: str) -> dict[str, Any]:
    return {
        "cluster": cluster.name,
        "host": host,
        "reads": frozenset({(host, ReadKept(cluster.name))}),
        "patience": Patience(total=STOP_S, stall=STOP_S),
    }


def _after(cluster: Cluster, name: str) -> frozenset[str]:
    """Whoever came up after this one goes first."""
    later = (one for one in cluster.deployments.values() if name in one.after)
    return frozenset(
        f"{stage}/{one.name}/{host}"
        for one in later
        for host in one.hosts
        for stage in ("down", "down-services")
    )


def services(cluster: Cluster) -> Iterable[Deployment]:
    """Deployments without ranks."""
    return (one for one in cluster.deployments.values() if one.profile.engine_key in UNRANKED)


def placed_services(cluster: Cluster, host: str) -> frozenset[str]:
    """Their names, on one host."""
    return _by_head(cluster).get(host, frozenset())


@once
def _by_head(cluster: Cluster) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for one in services(cluster):
        found.setdefault(one.head, set()).add(one.name)
    return {host: frozenset(names) for host, names in found.items()}


STAGES = {"down-services": service_down_steps}
