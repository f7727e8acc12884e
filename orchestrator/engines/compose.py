"""A docker compose file as a deployment: brought up by compose, known by its labels, stopped if orch started it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.contracts import Proof, Query, Rank, Step, World
from orchestrator.facts.compose import PROJECT, ProjectUp
from orchestrator.facts.kept_services import Kept, forget
from orchestrator.facts.visit import Visit
from orchestrator.ranks.rules import said
from orchestrator.script import Command, Raw, Script, sh
from orchestrator.spec.models import Cluster, Deployment, Finding
from orchestrator.steps.compose_start import FILES, ProjectRuns, project
from orchestrator.steps.service import ServiceUp

NAME = "compose"
STOP_S = 150.0
GRACE_S = 30
UNFIT = ("image", "build", "command", "args", "mounts", "caches", "ports", "container_port", "unit")
NEVER = ("model", "warmup", "api_key")


@dataclass(frozen=True)
class ComposeProject:
    """See contracts.Unranked."""

    name: str = NAME
    unranked: bool = True

    def validate(self, cluster: Cluster, deployment: Deployment) -> Sequence[Finding]:
        return tuple(_findings(cluster, deployment))

    def ranks(self, cluster: Cluster, deployment: Deployment, world: World) -> Sequence[Rank]:
        return ()

    def reads(self, cluster: Cluster, deployment: Deployment) -> frozenset[tuple[str, Query[Any]]]:
        return frozenset()

    def steps(self, cluster: Cluster, deployment: Deployment) -> Sequence[Step]:
        compose = deployment.profile.compose
        if compose is None:
            return ()
        return (
            ProjectRuns.of(cluster, deployment, compose),
            ServiceUp.of(cluster, deployment),
        )

    def proof(self, cluster: Cluster, deployment: Deployment) -> Query[Proof]:
        if deployment.profile.ready.http is not None:
            return Visit(deployment.port, deployment.profile.ready.http)
        return ProjectUp(_project(cluster, deployment))

    def logs(self, cluster: Cluster, deployment: Deployment, lines: int) -> Script:
        """Each container's, with its service's name behind the time."""
        text = sh(
            """docker ps -a --filter {} --format {} | while read -r id name; do
  docker logs --timestamps --tail {} "$id" 2>&1 </dev/null | sed "s/^\\([^ ]*\\) /\\1 $name: /"
done""",
            f"label={PROJECT}={_project(cluster, deployment)}",
            '{{.ID}} {{.Label "com.docker.compose.service"}}',
            lines,
        )
        return Script({"logs": Command(text, keep=1_048_576)})

    def stop(self, cluster: str, kept: Kept) -> Script:
        """By label: the file may have changed since, or be gone. Volumes stay, as with `docker compose down`."""
        label = f"label={PROJECT}={kept.target}"
        text = sh(
            """(
ids=$(docker ps -a -q --filter {}) || exit 1
[ -z "$ids" ] || docker stop -t {} $ids >/dev/null
[ -z "$ids" ] || docker rm -f $ids >/dev/null || exit 1
nets=$(docker network ls -q --filter {}) || exit 1
[ -z "$nets" ] || docker network rm $nets >/dev/null || exit 1
left=$(docker ps -a -q --filter {}) || exit 1
[ -z "$left" ] || { echo "there are still containers of it" >&2; exit 1; }
{}
)""",
            label,
            GRACE_S,
            label,
            label,
            Raw(forget(cluster, kept.deployment)),
        )
        return Script({"stop": Command(text, timeout=STOP_S)})


def _project(cluster: Cluster, deployment: Deployment) -> str:
    compose = deployment.profile.compose
    return project(cluster, deployment, compose) if compose is not None else ""


def _findings(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    profile, compose = deployment.profile, deployment.profile.compose
    where = f"profiles.{profile.name}"
    if compose is None:
        yield Finding(message="engine compose needs a `compose:`", path=f"{where}.compose")
    elif not _project(cluster, deployment):
        yield Finding(
            message=f"{compose.file} gives its project no name",
            path=f"{where}.compose",
            suggestion="say `project:`",
        )
    elif compose.send is not None:
        yield from _sent(Path(compose.send).expanduser(), f"{where}.compose.send")
    if len(deployment.hosts) > 1:
        yield said(
            deployment, "hosts", "a compose project is on one host", "replicas: {per: host, …}"
        )
    for host in deployment.hosts:
        if cluster.hosts[host].runtime != "docker":
            yield said(deployment, "hosts", f"{host}: compose needs `runtime: docker`")
    for key in (*UNFIT, *NEVER):
        if getattr(profile, key):
            yield Finding(
                message=f"engine compose takes no `{key}`: its file says so", path=f"{where}.{key}"
            )
    if profile.ready.command is not None:
        yield Finding(message="engine compose takes no `command`", path=f"{where}.ready.command")


def _sent(source: Path, path: str) -> Iterator[Finding]:
    if source.is_dir() and not any((source / name).is_file() for name in FILES):
        yield Finding(message=f"there is none of {', '.join(FILES)} in it", path=path)
    elif not source.exists():
        yield Finding(message=f"there is nothing at {str(source)!r} on this machine", path=path)


ENGINE = ComposeProject()
