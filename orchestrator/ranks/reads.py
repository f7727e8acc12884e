"""What is read to build ranks: only what may differ from what the files say."""

from __future__ import annotations

from typing import Any

from orchestrator.contracts import Query
from orchestrator.facts import ReadNetwork, ReadRdma
from orchestrator.ranks.build import uses_rdma
from orchestrator.spec.models import Cluster, Deployment

Reads = frozenset[tuple[str, Query[Any]]]


def common_reads(cluster: Cluster, deployment: Deployment) -> Reads:
    """The network for addresses, and the RDMA devices where the files say that there are some."""
    hosts = deployment.hosts
    reads: set[tuple[str, Query[Any]]] = {(host, ReadNetwork()) for host in hosts}
    reads |= {(host, ReadRdma()) for host in hosts if uses_rdma(cluster, deployment, host, {})}
    return frozenset(reads)
