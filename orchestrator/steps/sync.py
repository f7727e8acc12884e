"""Files of the user's machine that ranks mount (`sync: true`) are on every host, before the ranks are.

They lie under a name that holds their content's sum: a changed file is another path, so its gang restarts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.errors import Refused
from orchestrator.facts.present import ReadPresent
from orchestrator.ranks.build import ROOT_STATE, synced_path
from orchestrator.ranks.files import on_host
from orchestrator.ranks.local import ABSENT, digest, packed
from orchestrator.script import Command, Script, sh
from orchestrator.spec.models import Cluster
from orchestrator.steps.gang import GangStep

SYNC_S = 600.0


@dataclass(frozen=True, kw_only=True)
class Synced(GangStep):
    """One file or folder on one host."""

    source: str
    target: str

    @property
    def _query(self) -> ReadPresent:
        return ReadPresent(self.target, sudo=self.target.startswith(ROOT_STATE))

    def check(self, world: World) -> Change | None:
        if digest(self.source) == ABSENT:
            raise Refused(
                f"{self.source}, which {self.deployment.name} mounts, is not on this machine",
                step=self.id,
                hint=f"`mounts:` of profile {self.deployment.profile.name}",
            )
        if world[self.host or ""].get(self._query):
            return None
        return Change(f"bring {self.source}")

    def apply(self, change: Change, world: World) -> Script:
        """Whole or not at all: unpacked beside, then renamed."""
        target, new = on_host(self.target), on_host(f"{self.target}.new")
        text = sh(
            "umask 022 && rm -rf {} && mkdir -p {} && tar -xf - --no-same-owner -C {}"
            " && mv {}/it {} && rmdir {}",
            *(new, new, new, new, target, new),
        )
        sudo = self.target.startswith(ROOT_STATE)
        command = Command(text, stdin=packed(self.source), sudo=sudo, timeout=SYNC_S)
        return Script({"sync": command}, mutates=True, stop_on_error=True)


def sync_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    for name, deployment in cluster.deployments.items():
        sources = [entry.from_ for entry in deployment.profile.mounts if entry.sync]
        for host in deployment.hosts:
            for number, source in enumerate(dict.fromkeys(sources)):
                target = synced_path(cluster, cluster.hosts[host], source)
                query = ReadPresent(target, sudo=target.startswith(ROOT_STATE))
                yield Synced(
                    id=f"{name}/sync/{host}/{number}",
                    host=host,
                    scope=name,
                    stage="sync",
                    reads=frozenset({(host, query)}),
                    patience=Patience(total=SYNC_S, stall=SYNC_S),
                    source=source,
                    target=target,
                    cluster=cluster,
                    deployment=deployment,
                )


STAGES = {"sync": sync_steps}
