"""That a job is done is kept on its host: `down` takes its container, and the next `up` must not run it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.facts.ended import ReadEnded
from orchestrator.ranks.files import on_host
from orchestrator.script import Command, Script, sh
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.steps.gang import JOB, GangStep, own_steps


@dataclass(frozen=True, kw_only=True)
class JobRecorded(GangStep):
    """The mark with the content's sum is there."""

    query: ReadEnded

    @classmethod
    def of(cls, cluster: Cluster, deployment: Deployment, query: ReadEnded) -> JobRecorded:
        name = deployment.name
        return cls(
            id=f"{name}/record",
            host=deployment.head,
            scope=name,
            stage="record",
            needs=frozenset({f"{name}/answer"}),
            reads=frozenset({(deployment.head, query)}),
            patience=Patience(total=60, stall=60),
            query=query,
            cluster=cluster,
            deployment=deployment,
        )

    def check(self, world: World) -> Change | None:
        if world[self.deployment.head].get(self.query).recorded:
            return None
        return Change(f"keep that {self.deployment.name} is done")

    def apply(self, change: Change, world: World) -> Script:
        path, _, name = self.query.mark.rpartition("/")
        new = on_host(f"{path}/.{name}.new")
        text = sh(
            "umask 022 && mkdir -p {} && printf '%s\\n' {} >{} && mv {} {}",
            *(on_host(path), self.query.digest, new, new, on_host(self.query.mark)),
        )
        return Script({"record": Command(text, sudo=self.query.sudo)}, mutates=True)


def record_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """Jobs know how theirs is told."""
    for deployment in cluster.deployments.values():
        if deployment.profile.engine_key == JOB:
            yield from own_steps(cluster, deployment, "record")


STAGES = {"record": record_steps}
