"""A container of the user's that holds the GPU or the port, and that the files name to be moved aside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.errors import Refused
from orchestrator.facts.answers import Container
from orchestrator.facts.containers import CLUSTER, ReadContainers
from orchestrator.facts.engine_words import spoken
from orchestrator.ranks.state import PROCESS
from orchestrator.script import Command, Script, Sh, sh
from orchestrator.spec.models import Cluster
from orchestrator.steps.rights import serving

HOLDING = frozenset({"running", "restarting", "paused", "removing", "stopping"})
GRACE_S = 60


@dataclass(frozen=True, kw_only=True)
class TakenOver(Step):
    """No container of these names runs. They are stopped and renamed, never deleted."""

    host: str
    runtime: str
    cluster: str
    names: tuple[str, ...]

    def check(self, world: World) -> Change | None:
        found = self.found(world)
        for container in found:
            owner = container.labels.get(CLUSTER)
            if owner is not None:
                raise Refused(
                    f"container {container.name} belongs to cluster {owner} of orch",
                    host=self.host,
                    hint=f"`orch down` with the files of {owner}, or take it out of `takeover:`",
                )
        if not found:
            return None
        names = ", ".join(f"{one.name} ({one.image})" for one in found)
        return Change(f"stop and rename {names}; kept as NAME-orch-taken-TIME")

    def found(self, world: World) -> tuple[Container, ...]:
        """Containers of these names that run; ours are not meant."""
        return tuple(
            one
            for one in world[self.host].get(ReadContainers(self.runtime))
            if one.name in self.names
            and one.state in HOLDING
            and one.labels.get(CLUSTER) != self.cluster
        )

    def apply(self, change: Change, world: World) -> Script:
        commands = {
            one.name: Command(self.aside(one), timeout=GRACE_S + 60) for one in self.found(world)
        }
        return Script(commands, mutates=True)

    def aside(self, one: Container) -> Sh:
        """By id: the name might be another container's by now. Podman before 5.1 can't update the policy."""
        called = spoken(self.runtime)
        return sh(
            """{} update --restart=no {} >/dev/null 2>&1
{} stop -t {} {} && {} rename {} {}-orch-taken-"$(date -u +%Y%m%dT%H%M%SZ)" """,
            called,
            one.id,
            called,
            GRACE_S,
            one.id,
            called,
            one.id,
            one.name,
        )


def takeover_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """For hosts that serve, if the cluster file names any."""
    placed = serving(cluster)
    for host in cluster.used_hosts:
        if cluster.takeover and host.name in placed and host.runtime != PROCESS:
            yield TakenOver(
                id=f"{host.name}/takeover",
                host=host.name,
                reads=frozenset({(host.name, ReadContainers(host.runtime))}),
                patience=Patience(total=300),
                runtime=host.runtime,
                cluster=cluster.name,
                names=cluster.takeover,
            )


STAGES = {"takeover": takeover_steps}
