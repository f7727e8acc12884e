"""Hosts whose network is ours to set need root; found out before anything else was done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Step, World
from orchestrator.facts.identity import Identify
from orchestrator.facts.privilege import ReadPrivilege
from orchestrator.spec.models import Cluster
from orchestrator.steps.rights import changeable, require_root


@dataclass(frozen=True, kw_only=True)
class RootRights(Step):
    """sudo works. Other steps ask for themselves, and only once they have something to change."""

    host: str

    def check(self, world: World) -> Change | None:
        require_root(world, self.host, "setting up its links (netplan)")
        return None


def privilege_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """For hosts with a cabled port: netplan files can't even be read without root."""
    linked = {end.host for link in cluster.links for end in link.ends}
    for host in changeable(cluster):
        if host.name in linked:
            yield RootRights(
                id=f"{host.name}/privilege",
                role="gate",
                host=host.name,
                reads=frozenset({(host.name, Identify()), (host.name, ReadPrivilege())}),
            )


STAGES = {"privilege": privilege_steps}
