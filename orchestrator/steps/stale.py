"""What is left of our own: ranks whose deployment is gone from the files, and ranks that ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.facts.answers import Container
from orchestrator.facts.engine_words import spoken
from orchestrator.facts.processes import held
from orchestrator.ranks.build import PROCESS
from orchestrator.runtimes import runtime
from orchestrator.script import Command, Script, sh
from orchestrator.spec.derived import placed
from orchestrator.spec.models import Cluster
from orchestrator.steps.gang import JOB
from orchestrator.steps.service import unplaced

DEPLOYMENT = "orch.deployment"
ROLE = "orch.role"
ENDED = frozenset({"exited", "dead", "stopped"})
GRACE_S = 60


@dataclass(frozen=True, kw_only=True)
class NoStale(Step):
    """Only containers that the files know, and none that ended. Those of others are never looked at."""

    host: str
    runtime: str
    cluster: str
    deployments: frozenset[str]  # those that the files place on this host

    def check(self, world: World) -> Change | None:
        stale = self.stale(world)
        if not stale:
            return None
        return Change("remove " + ", ".join(f"{one.name} ({self.why(one)})" for one in stale))

    def stale(self, world: World) -> tuple[Container, ...]:
        """Containers of this cluster that nobody wants any more."""
        return tuple(
            one for one in world[self.host].get(held(self.runtime, self.cluster)) if self.why(one)
        )

    def why(self, one: Container) -> str:
        """What makes it stale; "" where nothing does."""
        name = one.labels.get(DEPLOYMENT)
        if name is None:
            return ""  # ours, but not a rank: whoever made it looks after it
        if name not in self.deployments:
            return f"the files place no {name} here"
        if one.state in ENDED and one.labels.get(ROLE) != JOB:  # that has an end, and a log
            return f"ended with exit code {one.exit_code}"
        return ""

    def apply(self, change: Change, world: World) -> Script:
        if self.runtime == PROCESS:
            ends = {one.name: runtime(PROCESS).stop(one.name, GRACE_S) for one in self.stale(world)}
            return Script({k: v.commands["stop"] for k, v in ends.items()}, mutates=True)
        commands = {
            one.name: Command(
                sh(
                    "{} stop -t {} {} >/dev/null; {} rm {} >/dev/null",
                    spoken(self.runtime),
                    GRACE_S,
                    one.id,
                    spoken(self.runtime),
                    one.id,
                ),
                timeout=GRACE_S + 60,
            )
            for one in self.stale(world)
        }
        return Script(commands, mutates=True)


def stale_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """For hosts in use."""
    for host in cluster.used_hosts:
        yield NoStale(
            id=f"{host.name}/stale",
            host=host.name,
            reads=frozenset({(host.name, held(host.runtime, cluster.name))}),
            patience=Patience(total=300),
            runtime=host.runtime,
            cluster=cluster.name,
            deployments=frozenset(one.name for one in placed(cluster).get(host.name, ())),
        )
        yield unplaced(cluster, host.name, id=f"{host.name}/stale-services")


STAGES = {"stale": stale_steps}
