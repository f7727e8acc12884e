"""In which order hosts may change their addresses: never both ends of a cable, of a switch one host first."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.network.fabric import Fabric
from orchestrator.spec.models import Cluster


def first_then(cluster: Cluster, fabric: Fabric) -> Mapping[str, frozenset[str]]:
    """Host → the hosts that must be done before it. Without circles, and as shallow as the cables allow."""
    colours = _colours(cluster, fabric)
    place = {name: (colours.get(name, 0), index) for index, name in enumerate(cluster.hosts)}
    before: dict[str, set[str]] = {name: set() for name in cluster.hosts}
    for segment in fabric.segments:
        canary = min(segment.hosts, key=lambda host: place[host])
        for host in segment.hosts - {canary}:
            before[host].add(canary)
    return {host: frozenset(hosts) for host, hosts in before.items()}


def _colours(cluster: Cluster, fabric: Fabric) -> dict[str, int]:
    """Greedy colouring over direct cables: an even ring is done in two turns, not one host after another."""
    neighbours: dict[str, set[str]] = {}
    for segment in fabric.segments:
        if segment.switch is None:
            for host in segment.hosts:
                neighbours.setdefault(host, set()).update(segment.hosts - {host})
    colours: dict[str, int] = {}
    for host in cluster.hosts:
        if host in neighbours:
            taken = {colours[other] for other in neighbours[host] if other in colours}
            colours[host] = next(one for one in range(len(taken) + 1) if one not in taken)
    return colours
