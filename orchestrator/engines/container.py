"""Any image as a service: up when its health check, or the path that its profile names, says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Proof, Query, Rank, Step, World
from orchestrator.facts.health import ReadHealth
from orchestrator.facts.visit import Visit
from orchestrator.ranks.build import container_name
from orchestrator.ranks.service import service_findings, service_rank
from orchestrator.ranks.spec import as_gang
from orchestrator.spec.models import Cluster, Deployment, Finding
from orchestrator.spec.services import listens, port_pairs
from orchestrator.spec.units import parse_duration

NAME = "container"
RESTART = (
    "unless-stopped"  # it has nobody to wait for, and is there again after its host has booted
)
ANYWHERE = {None: "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (asked on its host)


@dataclass(frozen=True)
class Container:
    """See contracts.Service."""

    name: str = NAME

    def validate(self, cluster: Cluster, deployment: Deployment) -> Sequence[Finding]:
        return tuple(_findings(cluster, deployment))

    def ranks(self, cluster: Cluster, deployment: Deployment, world: World) -> Sequence[Rank]:
        ready = deployment.profile.ready
        one = service_rank(
            cluster,
            deployment,
            NAME,
            ports=frozenset(listens(deployment)),
            restart=RESTART if deployment.supervision == "entrypoint" else "no",
            health=ready.command or "",
            health_start_s=round(parse_duration(ready.start)),
        )
        return as_gang([one])

    def reads(self, cluster: Cluster, deployment: Deployment) -> frozenset[tuple[str, Query[Any]]]:
        return frozenset()

    def steps(self, cluster: Cluster, deployment: Deployment) -> Sequence[Step]:
        return ()

    def proof(self, cluster: Cluster, deployment: Deployment) -> Query[Proof]:
        path, bind = deployment.profile.ready.http, deployment.endpoint.bind
        if path is not None:
            return Visit(deployment.port, path, ANYWHERE.get(bind, bind or ""))
        name = container_name(cluster.name, deployment.name, 0)
        return ReadHealth(cluster.hosts[deployment.head].runtime, name)


def _findings(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    yield from service_findings(cluster, deployment, ("compose", "unit"))
    profile = deployment.profile
    where = f"profiles.{profile.name}"
    if profile.ready.http is not None and profile.ready.command is not None:
        yield Finding(
            message="`http:` and `command:` are two answers to whether it is up",
            path=f"{where}.ready",
            suggestion="leave one out",
        )
    moved = any(outer != inner for outer, inner in port_pairs(profile.ports))
    if moved and profile.container_port is None:
        yield Finding(
            message="ports are led into a network of its own, and its main port is not",
            path=f"{where}.ports",
            suggestion="say `container_port:`",
        )


ENGINE = Container()
