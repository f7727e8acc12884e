"""A unit of systemd that is on a host, of the system or a user: up when active, stopped if orch started it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Proof, Query, Rank, Step, World
from orchestrator.facts.kept_services import Kept, forget
from orchestrator.facts.unit import UnitActive, systemctl
from orchestrator.facts.visit import Visit
from orchestrator.ranks.rules import said
from orchestrator.script import Command, Raw, Script, sh
from orchestrator.spec.models import Cluster, Deployment, Finding
from orchestrator.steps.service import ServiceUp
from orchestrator.steps.unit_start import UnitRuns

NAME = "unit"
STOP_S = 120.0
UNFIT = (
    *("image", "build", "command", "args", "env", "secrets", "mounts", "caches", "ports"),
    *("container_port", "compose", "model", "warmup", "api_key"),
)


@dataclass(frozen=True)
class SystemdUnit:
    """See contracts.Unranked."""

    name: str = NAME
    unranked: bool = True

    def validate(self, cluster: Cluster, deployment: Deployment) -> Sequence[Finding]:
        return tuple(_findings(deployment))

    def ranks(self, cluster: Cluster, deployment: Deployment, world: World) -> Sequence[Rank]:
        return ()

    def reads(self, cluster: Cluster, deployment: Deployment) -> frozenset[tuple[str, Query[Any]]]:
        return frozenset()

    def steps(self, cluster: Cluster, deployment: Deployment) -> Sequence[Step]:
        unit = deployment.profile.unit
        if unit is None:
            return ()
        return (UnitRuns.of(cluster, deployment, unit), ServiceUp.of(cluster, deployment))

    def proof(self, cluster: Cluster, deployment: Deployment) -> Query[Proof]:
        profile = deployment.profile
        if profile.ready.http is not None:
            return Visit(deployment.port, profile.ready.http)
        unit = profile.unit
        return UnitActive(unit.name if unit else "", unit.user if unit else False)

    def logs(self, cluster: Cluster, deployment: Deployment, lines: int) -> Script:
        """By root where we may: a user's own journal is not everywhere one."""
        unit = deployment.profile.unit
        name, user = (unit.name, unit.user) if unit else ("", False)
        field = "USER_UNIT" if user else "UNIT"  # what it says, and what systemd says of it
        text = sh(
            "journalctl --no-pager -q -n {} -o short-iso-precise {} + {}"
            " | sed 's/^\\([^ ]*[+-][0-9][0-9]\\)\\([0-9][0-9]\\) [^ ]* [^ ]* /\\1:\\2 /'",
            lines,
            f"_SYSTEMD_{field}={name}",
            f"{field}={name}",
        )
        sudo = cluster.hosts[deployment.head].become == "sudo"
        return Script({"logs": Command(text, sudo=sudo, keep=1_048_576)})

    def stop(self, cluster: str, kept: Kept) -> Script:
        """Stopped, and forgotten once it has."""
        stop = sh("{} stop -- {}", Raw(systemctl(kept.user)), kept.target)
        inactive = sh(
            '! {} is-active --quiet -- {} || { echo "it is still active" >&2; exit 1; }',
            Raw(systemctl(kept.user)),
            kept.target,
        )
        gone = sh(
            "({})\n[ $? = 0 ] || exit 1\n{}", Raw(inactive), Raw(forget(cluster, kept.deployment))
        )
        return Script(
            {
                "stop": Command(stop, sudo=not kept.user, timeout=STOP_S),
                "forget": Command(sh("(\n{}\n)", Raw(gone))),
            }
        )


def _findings(deployment: Deployment) -> Iterator[Finding]:
    profile = deployment.profile
    if profile.unit is None:
        path = f"profiles.{profile.name}.unit"
        yield Finding(message="engine unit needs a `unit:`", path=path)
    if len(deployment.hosts) > 1:
        hint = "replicas: {per: host, count: …}"
        yield said(deployment, "hosts", "a unit runs on one host", hint)
    for key in UNFIT:
        if getattr(profile, key):
            yield Finding(
                message=f"engine unit takes no `{key}`: it says so itself",
                path=f"profiles.{profile.name}.{key}",
            )
    if profile.ready.command is not None:
        yield Finding(
            message="engine unit takes no `command`", path=f"profiles.{profile.name}.ready.command"
        )


ENGINE = SystemdUnit()
