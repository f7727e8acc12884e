"""What a profile mounts from the hosts is there, on every host of the gang, before anything is done for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.errors import Refused
from orchestrator.facts.sources import ReadSources
from orchestrator.ranks.containers import CACHES
from orchestrator.spec.models import Cluster, Deployment, MountEntry
from orchestrator.steps.gang import GangStep, after_jobs
from orchestrator.steps.weights import model_hosts


def wanted(deployment: Deployment, host: str) -> tuple[str, ...]:
    """The host's own files and folders that its rank mounts; not volumes, what is brought, or the model."""
    found = (
        entry.from_
        for entry in deployment.profile.mounts
        if "/" in entry.from_
        and not entry.sync
        and not entry.from_.startswith(CACHES)
        and not (host in model_hosts(deployment) and _holds_model(deployment, entry))
    )
    return tuple(dict.fromkeys(found))


def _holds_model(deployment: Deployment, entry: MountEntry) -> bool:
    """The gate for weights looks there, and says more."""
    model = PurePosixPath(deployment.profile.model)
    return model.is_absolute() and model.is_relative_to(PurePosixPath(entry.to))


@dataclass(frozen=True, kw_only=True)
class MountsThere(GangStep):
    """Each source exists; what lies below a folder that is not ours docker looks at, when the rank starts."""

    sources: Mapping[str, tuple[str, ...]]  # host → paths

    def check(self, world: World) -> Change | None:
        lacking: dict[str, list[str]] = {}
        for host, paths in self.sources.items():
            seen = world[host].get(ReadSources(paths))
            for path in paths:
                if seen[path] == "absent":
                    lacking.setdefault(path, []).append(host)
        if not lacking:
            return None
        told = "; ".join(f"{path} on {', '.join(hosts)}" for path, hosts in lacking.items())
        raise Refused(
            f"{self.deployment.name} mounts what is missing: {told}",
            host=next(iter(lacking.values()))[0],
            step=self.id,
            hint=f"bring it there, or take it out of `mounts:` of {self.deployment.profile.name};"
            " with `sync: true` orch brings it from your machine",
        )


def mounts_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    for name, deployment in cluster.deployments.items():
        found = {host: wanted(deployment, host) for host in deployment.hosts}
        sources = {host: paths for host, paths in found.items() if paths}
        if not sources:
            continue
        yield MountsThere(
            id=f"{name}/mounts",
            role="gate",
            scope=name,
            stage="mounts",
            on_demand=True,
            needs=after_jobs(cluster, deployment),
            reads=frozenset((host, ReadSources(paths)) for host, paths in sources.items()),
            patience=Patience(total=60, stall=60),
            sources=sources,
            cluster=cluster,
            deployment=deployment,
        )


STAGES = {"mounts": mounts_steps}
