"""What to ask hosts so that their cables can be found, and their answers as `Seen`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from orchestrator.contracts import Facts, Query
from orchestrator.errors import OrchError
from orchestrator.facts.frames import ReadFrames
from orchestrator.facts.identity import Identify
from orchestrator.facts.lldp import ReadLldp
from orchestrator.facts.neighbours import ReadNeighbours
from orchestrator.facts.network import ReadNetwork
from orchestrator.network.discovery import Ports, Seen
from orchestrator.spec.models import Cluster

T = TypeVar("T")


def cluster_ports(cluster: Cluster) -> Ports:
    """Ports as kinds and inventory name them."""
    return {
        name: {
            port: tuple(half.netdev for half in spec.halves) for port, spec in host.ports.items()
        }
        for name, host in cluster.hosts.items()
    }


def look_reads(ports: Ports) -> frozenset[tuple[str, Query[Any]]]:
    """All ways at once, in one script a host: what one host can't do, its neighbour may."""
    reads: set[tuple[str, Query[Any]]] = set()
    for host, each in ports.items():
        netdevs = tuple(netdev for one in each.values() for netdev in one)
        reads |= {(host, ReadNetwork()), (host, Identify())}
        if netdevs:
            reads |= {
                (host, ReadLldp()),
                (host, ReadNeighbours(netdevs)),
                (host, ReadFrames(host, netdevs)),
            }
    return frozenset(reads)


def seen_by(ports: Ports, world: Mapping[str, Facts]) -> dict[str, Seen]:
    """Each host's answers; a way that could not be tried is left out."""
    return {host: _seen(host, each, world[host]) for host, each in ports.items() if host in world}


def _seen(host: str, ports: Mapping[str, tuple[str, ...]], facts: Facts) -> Seen:
    netdevs = tuple(netdev for one in ports.values() for netdev in one)
    network, identity = _got(facts, ReadNetwork()), _got(facts, Identify())
    found = network.netdevs if network is not None else {}
    frames = _got(facts, ReadFrames(host, netdevs))
    neighbours = _got(facts, ReadNeighbours(netdevs))
    lldp = _got(facts, ReadLldp())
    up = any(found[one].up for one in netdevs if one in found)
    ways = {
        "frames": frames is not None,
        "neighbours": neighbours is not None and (up or bool(neighbours)),
        "lldp": bool(lldp),
    }
    return Seen(
        macs={name: one.mac for name, one in found.items() if one.mac},
        hostname=identity.hostname if identity is not None else "",
        frames=frames or (),
        neighbours=neighbours or (),
        lldp=lldp or (),
        ways=tuple(name for name, tried in ways.items() if tried),
    )


def _got(facts: Facts, query: Query[T]) -> T | None:
    try:
        return facts.get(query)
    except OrchError:
        return None
