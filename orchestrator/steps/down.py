"""`orch down`: ranks are found by label on every host, stopped, and looked for again.

What the files no longer know goes too: a host may hold ranks of deployments that were removed from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.facts.answers import Container
from orchestrator.facts.engine_words import program
from orchestrator.ranks.build import state_folder
from orchestrator.ranks.files import remove_files
from orchestrator.runtimes import runtime, runtimes
from orchestrator.script import Script
from orchestrator.spec.models import Cluster
from orchestrator.steps.gang import ours

GRACE_S = 30.0  # the engine's own 20 s (flags/vllm.yaml, grace_s), and a margin
STOP_S = 180.0


def stopping(cluster: Cluster, host_name: str, containers: Iterable[Container]) -> Script:
    """Stop and remove in one round trip; one that fails does not keep the others from being tried."""
    host = cluster.hosts[host_name]
    names = [one.name for one in containers]
    commands = {
        f"{name}: {what}": command
        for name in names
        for what, command in runtime(host.runtime).stop(name, GRACE_S).commands.items()
    }
    commands["files"] = remove_files(state_folder(host), names)
    return Script(commands, mutates=True)


@dataclass(frozen=True, kw_only=True)
class StopHere(Step):
    """Nothing of one deployment, or of all that the files don't know, is left on this host."""

    cluster: Cluster = field(repr=False, compare=False)
    deployment: str | None
    known: frozenset[str] = frozenset()

    def _here(self, world: World) -> list[Container]:
        return [
            one
            for one in world[self.host or ""].get(ours(self.cluster, self.host or ""))
            if self._mine(one.labels.get("orch.deployment", ""))
        ]

    def _mine(self, name: str) -> bool:
        return name == self.deployment if self.deployment is not None else name not in self.known

    def check(self, world: World) -> Change | None:
        here = self._here(world)
        if not here:
            return None
        told = ", ".join(f"{one.name} ({one.state})" for one in here)
        return Change(f"stop and remove {told}")

    def apply(self, change: Change, world: World) -> Script:
        return stopping(self.cluster, self.host or "", self._here(world))


def _after(cluster: Cluster, name: str) -> frozenset[str]:
    """Whoever came up after this one goes first."""
    return frozenset(
        f"{stage}/{other.name}/{host}"
        for stage in ("down", "down-services")
        for other in cluster.deployments.values()
        if name in other.after
        for host in cluster.hosts
    )


def down_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterator[Step]:
    """Each host, each deployment in reverse order, and what the files don't know."""
    known = frozenset(cluster.deployments)
    for host in cluster.hosts:
        if program(cluster.hosts[host].runtime) not in runtimes():
            continue  # nothing of ours was ever started there
        reads = frozenset({(host, ours(cluster, host))})
        common: dict[str, Any] = {
            "cluster": cluster,
            "host": host,
            "stage": "down",
            "reads": reads,
            "patience": Patience(total=STOP_S, stall=STOP_S),
        }
        yield StopHere(id=f"down/{host}", deployment=None, known=known, **common)
        for name, deployment in reversed(list(cluster.deployments.items())):
            if host in deployment.hosts:
                yield StopHere(
                    id=f"down/{name}/{host}",
                    deployment=name,
                    scope=name,
                    needs=_after(cluster, name),
                    **common,
                )


STAGES = {"down": down_steps}
