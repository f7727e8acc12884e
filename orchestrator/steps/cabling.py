"""Are the cables where `links:` says? The hosts look, and a cable that goes elsewhere is refused by name.

Not a part of `up`: looking takes some seconds, and cables do not walk. For `verify-rdma` and playbooks of one's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.errors import Refused
from orchestrator.network.discovery import Ports, compare, discover
from orchestrator.network.look import cluster_ports, look_reads, seen_by
from orchestrator.spec.models import Cluster


@dataclass(frozen=True, kw_only=True)
class CablesAsSaid(Step):
    """What was seen contradicts no link. What could not be seen is not refused: the other checks find it."""

    cluster: Cluster
    ports: tuple[tuple[str, tuple[tuple[str, tuple[str, ...]], ...]], ...]

    def check(self, world: World) -> Change | None:
        ports: Ports = {host: dict(each) for host, each in self.ports}
        found = discover(ports, seen_by(ports, world))
        wrong = [one for one in compare(self.cluster, found) if one.grade == "wrong"]
        if wrong:
            raise Refused(
                "; ".join(one.message for one in wrong),
                step=self.id,
                hint="plug the cables as `links:` says, or correct it: `orch init` prints what is there",
            )
        return None


def cabling_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """One look over all hosts that have a link."""
    linked = {end.host for link in cluster.links for end in link.ends}
    ports = {host: each for host, each in cluster_ports(cluster).items() if host in linked}
    if not ports:
        return
    yield CablesAsSaid(
        id="cabling",
        role="gate",
        stage="cabling",
        reads=look_reads(ports),
        patience=Patience(total=60, stall=60),
        cluster=cluster,
        ports=tuple((host, tuple(each.items())) for host, each in ports.items()),
    )


STAGES = {"cabling": cabling_steps}
