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


def once_each(work: Callable[[Cluster, Deployment], T]) -> Callable[[Cluster, Deployment], T]:
    """`work`, done once for each deployment of a cluster. Both are known again by the very same object."""

    @once
    def kept(cluster: Cluster) -> dict[int, tuple[Deployment, T]]:
        return {}

    @wraps(work)
    def known(cluster: Cluster, deployment: Deployment) -> T:
        answers = kept(cluster)
        found = answers.get(id(deployment))
        if found is None:  # it is kept with its answer: nobody else has its id then
            found = answers[id(deployment)] = (deployment, work(cluster, deployment))
        return found[1]

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
