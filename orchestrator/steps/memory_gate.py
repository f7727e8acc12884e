"""No start into memory that is not there: on unified memory a rank that finds too little takes the host along."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Step, World
from orchestrator.errors import Refused
from orchestrator.facts import ReadMemory
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.spec.units import show_size
from orchestrator.steps.gang import GangStep

UTILIZATION = "gpu-memory-utilization"
DEFAULT_UTILIZATION = 0.92  # vLLM since 0.20; facts 4.6


def share(cluster: Cluster, deployment: Deployment, host: str) -> float | None:
    """The part of a host's memory that the engine will ask for; None where only the engine knows."""
    if not cluster.hosts[host].kind.unified_memory or deployment.profile.engine != "vllm":
        return None
    args = {key.replace("_", "-"): value for key, value in deployment.profile.args.items()}
    if "kv-cache-memory-bytes" in args:
        return None
    value = args.get(UTILIZATION, DEFAULT_UTILIZATION)
    return float(value) if isinstance(value, (int, float)) else None


@dataclass(frozen=True, kw_only=True)
class MemoryFree(GangStep):
    """As much is available as this deployment says, or its engine is told, that it takes."""

    def check(self, world: World) -> Change | None:
        host = self.host or ""
        memory = world[host].get(ReadMemory())
        part = share(self.cluster, self.deployment, host)
        demand = self.deployment.memory_bytes
        if demand is None and part is not None:
            demand = int(memory.total_bytes * part)
        if demand is None or memory.available_bytes >= demand:
            return None
        raise Refused(
            f"{self.deployment.name} needs {show_size(demand)} of memory,"
            f" {show_size(memory.available_bytes)} of {show_size(memory.total_bytes)} are available",
            host=host,
            step=self.id,
            hint="stop what uses it, lower gpu-memory-utilization, or set gate: {memory: off}",
        )


def memory_gate_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]:
    for name, deployment in cluster.deployments.items():
        if deployment.gate.memory == "off":
            continue
        for host in deployment.hosts:
            known = deployment.memory_bytes is not None or share(cluster, deployment, host)
            if not known:
                continue
            yield MemoryFree(
                id=f"{name}/memory/{host}",
                role="gate",
                host=host,
                scope=name,
                stage="memory-gate",
                on_demand=True,
                needs=frozenset(f"{name}/stop/{one}" for one in deployment.hosts),
                reads=frozenset({(host, ReadMemory())}),
                patience=Patience(total=60, stall=60),
                cluster=cluster,
                deployment=deployment,
            )


STAGES = {"memory-gate": memory_gate_steps}
