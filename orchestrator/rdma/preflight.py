"""Before anything is measured: is each half there, up, fast, addressed, reached, and if not, why?

From facts alone. What could not be read is said as unknown and is no pass.
"""

from __future__ import annotations

from typing import Any

from orchestrator.contracts import Query, World
from orchestrator.facts.identity import Identify
from orchestrator.facts.ip_settings import ReadIpSettings
from orchestrator.facts.network import ReadNetwork
from orchestrator.facts.pcie import ReadPcie
from orchestrator.facts.rdma import ReadRdma
from orchestrator.facts.rdma_counters import ReadRdmaCounters
from orchestrator.network.fabric import Fabric
from orchestrator.rdma.half import look, ping_of
from orchestrator.rdma.reports import Answered, HalfReport
from orchestrator.spec.models import Cluster

HOST_QUERIES: tuple[Query[Any], ...] = (
    ReadNetwork(),
    ReadRdma(),
    ReadPcie(),
    ReadIpSettings(),
    ReadRdmaCounters(),
    Identify(),
)


def preflight_reads(fabric: Fabric) -> frozenset[tuple[str, Query[Any]]]:
    """What `preflight` needs of the hosts: one script for each."""
    reads: set[tuple[str, Query[Any]]] = set()
    for segment in fabric.segments:
        for member in segment.members:
            reads.update((member.host, query) for query in HOST_QUERIES)
            ping = ping_of(segment, member)
            if ping is not None:
                reads.add((member.host, ping))
    return frozenset(reads)


def preflight(cluster: Cluster, fabric: Fabric, world: World) -> tuple[HalfReport, ...]:
    """A report for each end of each half, in the fabric's order."""
    return tuple(
        look(cluster, segment, member, Answered(world[member.host]), world)
        for segment in fabric.segments
        for member in segment.members
    )
