"""No start into memory that is not there: on unified memory a rank that finds too little takes the host along.

`memory:` is of each GPU that a deployment takes. Cards with memory of their own are asked themselves; where GPU
and CPU share one memory, and where no GPU is known, it is the host's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.contracts import Change, Patience, Query, Step, World
from orchestrator.errors import Refused
from orchestrator.facts import ReadGpus, ReadMemory
from orchestrator.facts.answers import Gpu
from orchestrator.ranks.build import gpu_choice
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.spec.units import show_size
from orchestrator.steps.gang import GangStep

UTILIZATION = "gpu-memory-utilization"
# After its holder has ended, unified memory comes back bit by bit: 30 GB were seen to linger (peers 3.7).
SETTLE_S = 60.0
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


def own_memory(cluster: Cluster, deployment: Deployment, host: str) -> bool:
    """Whether the GPUs that the deployment takes there may have memory of their own."""
    shared = cluster.hosts[host].kind.unified_memory
    return not shared and bool(gpu_choice(cluster, deployment, host))


@dataclass(frozen=True, kw_only=True)
class MemoryFree(GangStep):
    """As much is available as this deployment says, or its engine is told, that it takes."""

    def check(self, world: World) -> Change | None:
        cards = self._cards(world)
        for gpu in cards:
            self._fits(gpu)
        return None if cards else self._host_check(world)

    def _cards(self, world: World) -> tuple[Gpu, ...]:
        """The GPUs that it takes, if they have memory of their own."""
        host = self.host or ""
        if not own_memory(self.cluster, self.deployment, host):
            return ()
        chosen = gpu_choice(self.cluster, self.deployment, host)
        return tuple(
            gpu
            for gpu in world[host].get(ReadGpus()).gpus
            if (chosen == "all" or gpu.uuid in chosen or str(gpu.index) in chosen)
            and gpu.memory_bytes is not None
        )

    def _fits(self, gpu: Gpu) -> None:
        """A card that does not say what is free is no pass."""
        demand, total, free = self.deployment.memory_bytes, gpu.memory_bytes, gpu.memory_free_bytes
        if demand is None or total is None or (free is not None and free >= demand):
            return
        left = "nobody knows how much" if free is None else show_size(free)
        raise Refused(
            f"{self.deployment.name} needs {show_size(demand)} of GPU {gpu.index},"
            f" {left} of {show_size(total)} is free",
            host=self.host,
            step=self.id,
            hint=f"on {self.host}: nvidia-smi tells who uses it; or set gate: {{memory: off}}",
        )

    def _host_check(self, world: World) -> Change | None:
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
            reads: set[tuple[str, Query[Any]]] = {(host, ReadMemory())}
            if own_memory(cluster, deployment, host):
                reads.add((host, ReadGpus()))
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
                reads=frozenset(reads),
                patience=Patience(settle=SETTLE_S),
                cluster=cluster,
                deployment=deployment,
            )


STAGES = {"memory-gate": memory_gate_steps}
