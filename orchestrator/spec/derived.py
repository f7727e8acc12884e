"""What follows from the files alone, for all hosts at once: worked out once for a cluster, which never changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import TypeVar

from orchestrator.spec.models import Cluster, Deployment

T = TypeVar("T")


def once(work: Callable[[Cluster], T]) -> Callable[[Cluster], T]:
    """`work`, done once for a cluster: the last answer is kept, and is known again by the very same object."""
    last: list[tuple[Cluster, T]] = []

    @wraps(work)
    def known(cluster: Cluster) -> T:
        for one, found in last:
            if one is cluster:
                return found
        made = work(cluster)
        last[:] = [(cluster, made)]
        return made

    return known


@once
def placed(cluster: Cluster) -> Mapping[str, tuple[Deployment, ...]]:
    """Host → the deployments on it, in the order of the file."""
    found: dict[str, dict[str, Deployment]] = {}
    for name, one in cluster.deployments.items():
        for host in one.hosts:
            found.setdefault(host, {})[name] = one
    return {host: tuple(here.values()) for host, here in found.items()}


@once
def linked(cluster: Cluster) -> Mapping[str, frozenset[str]]:
    """Host → its ports that a link uses; only hosts that have one."""
    found: dict[str, set[str]] = {}
    for link in cluster.links:
        for end in link.ends:
            found.setdefault(end.host, set()).add(end.port)
    return {host: frozenset(ports) for host, ports in found.items()}
