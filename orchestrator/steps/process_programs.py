"""What an engine needs on a host without containers is looked for in its environment and PATH. A part of `programs`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.contracts import Change, Patience, World
from orchestrator.errors import Refused
from orchestrator.facts.host_programs import ReadHostPrograms
from orchestrator.ranks.build import folders
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.steps.gang import GangStep


@dataclass(frozen=True, kw_only=True)
class HostPrograms(GangStep):
    """The programs are where the rank will look for them."""

    programs: Mapping[str, str] = field(compare=False)  # name → path or name

    @classmethod
    def of(
        cls, cluster: Cluster, deployment: Deployment, host: str, programs: Mapping[str, str]
    ) -> HostPrograms:
        return cls(
            id=f"{deployment.name}/programs/{host}",
            role="gate",
            host=host,
            scope=deployment.name,
            stage="programs",
            on_demand=True,
            reads=frozenset({(host, _query(cluster, deployment, host, programs))}),
            patience=Patience(total=60, stall=60),
            programs=programs,
            cluster=cluster,
            deployment=deployment,
        )

    def check(self, world: World) -> Change | None:
        query = _query(self.cluster, self.deployment, self.host or "", self.programs)
        found = world[self.host or ""].get(query)
        lacking = [path for path in self.programs.values() if not found[path]]
        if not lacking:
            return None
        where = " and ".join([*query.folders, "PATH"])
        raise Refused(
            f"there is no {', '.join(lacking)} in {where}",
            host=self.host,
            step=self.id,
            hint=f"`venv:` of {self.deployment.profile.name}, or the path in `commands:`",
        )


def _query(
    cluster: Cluster, deployment: Deployment, host: str, programs: Mapping[str, str]
) -> ReadHostPrograms:
    places = folders(cluster, deployment, host).get("PATH", ())
    return ReadHostPrograms(places, tuple(sorted(programs.values())))
