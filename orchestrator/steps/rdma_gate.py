"""A rank that is to use RDMA needs the devices and unlimited locked memory; some hosts refuse the limit.

Found here with its name: NCCL would only say that it found no device, or that it can't allocate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.errors import Refused
from orchestrator.facts import Identify, ReadLimits, ReadRdma
from orchestrator.facts.engine_words import program
from orchestrator.network.environment import environment_reads, rank_devices
from orchestrator.spec.models import Cluster
from orchestrator.steps.gang import GangStep, Reads

CAPABLE = "in a container, CAP_SYS_RESOURCE"
REMEDIES = {
    "docker": f"LimitMEMLOCK=infinity for docker.service; {CAPABLE}",
    "podman": f"`* - memlock unlimited` in /etc/security/limits.d, and a new login; {CAPABLE}",
    "process": "`* - memlock unlimited` in /etc/security/limits.d, and a new login",
}


@dataclass(frozen=True, kw_only=True)
class RdmaGiven(GangStep):
    """A container on this host may have what RDMA takes."""

    def check(self, world: World) -> Change | None:
        host = self.host or ""
        if not rank_devices(self.cluster, self.deployment, host, world):
            return None
        rdma = world[host].get(ReadRdma())
        if not rdma.dev_infiniband:
            raise self._refused("it has RDMA devices, but no /dev/infiniband", "modprobe ib_uverbs")
        if not rdma.memlock_unlimited or self._held(world, host):
            raise self._refused(
                "its container engine can't lift the limit of locked memory",
                REMEDIES[program(self.cluster.hosts[host].runtime)],
            )
        return None

    def _held(self, world: World, host: str) -> bool:
        """A user's own podman gives no more than that user's sessions have."""
        if self.cluster.hosts[host].runtime != "podman" or world[host].get(Identify()).uid == 0:
            return False
        return world[host].get(ReadLimits()).memlock_bytes is not None

    def _refused(self, why: str, remedy: str) -> Refused:
        return Refused(
            f"{self.deployment.name} requires RDMA: {why}",
            host=self.host,
            step=self.id,
            hint=f"on {self.host}: {remedy}; or gate: {{rdma: degraded-ok}}",
        )


def _rootless(cluster: Cluster, host: str) -> Reads:
    if cluster.hosts[host].runtime != "podman":
        return frozenset()
    return frozenset({(host, Identify()), (host, ReadLimits())})


def rdma_gate_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    """For gangs over hosts that require RDMA."""
    for name, deployment in cluster.deployments.items():
        if deployment.gate.rdma != "required" or len(deployment.hosts) < 2:
            continue
        for host in deployment.hosts:
            yield RdmaGiven(
                id=f"{name}/rdma/{host}",
                role="gate",
                host=host,
                scope=name,
                stage="rdma-gate",
                on_demand=True,
                reads=environment_reads(cluster, deployment) | _rootless(cluster, host),
                patience=Patience(total=60, stall=60),
                cluster=cluster,
                deployment=deployment,
            )


STAGES = {"rdma-gate": rdma_gate_steps}
