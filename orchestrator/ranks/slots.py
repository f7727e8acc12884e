"""A number for each gang of an engine that no other one on its hosts has: its pinned ports are counted up by it."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.spec.derived import once
from orchestrator.spec.models import Cluster, Deployment


@once
def slots(cluster: Cluster) -> Mapping[str, int]:
    """First come, first served, in the order of the file."""
    used: dict[tuple[str, str], set[int]] = {}  # engine and host → numbers of the gangs before
    found: dict[str, int] = {}
    for name, one in cluster.deployments.items():
        places = [(one.profile.engine_key, host) for host in one.hosts]
        near = set().union(*(used.get(place, set()) for place in places))
        found[name] = next(number for number in range(len(near) + 1) if number not in near)
        for place in places:
            used.setdefault(place, set()).add(found[name])
    return found


def slot(cluster: Cluster, deployment: Deployment) -> int:
    """The gang's number; 0 for one that is not of this cluster."""
    return slots(cluster).get(deployment.name, 0)
