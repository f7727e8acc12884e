"""What can be known to be wrong before any host is asked: sizes, memory, flags that contradict the files."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.engines.vllm import data
from orchestrator.engines.vllm.ports import executor, ray_ports
from orchestrator.engines.vllm.serve import UTILIZATION
from orchestrator.flags import flags
from orchestrator.ranks.arguments import name_of
from orchestrator.ranks.rules import common_findings, falls_whole, owned, said, uneven
from orchestrator.spec.derived import placed
from orchestrator.spec.gpus import share
from orchestrator.spec.models import Cluster, Deployment, Finding


def findings(cluster: Cluster, deployment: Deployment) -> tuple[Finding, ...]:
    rules = (common_findings, _native, data.findings, _memory, _ports)
    found = [one for rule in rules for one in rule(cluster, deployment)]
    return (*found, *owned(deployment, "vllm"))


def _native(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    sizes = deployment.parallel
    if executor(deployment) == "native":
        word = (
            f"tensor {sizes.tensor} x pipeline {sizes.pipeline} x data {sizes.data} = {sizes.world}"
        )
        yield from uneven(deployment, word, sizes.world)
        yield from falls_whole(deployment, "a native gang over hosts")


def _memory(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    """vLLM takes a share of a GPU, so bytes are only of use where its size is known."""
    given = {name_of(key) for key in deployment.profile.args}
    told = given & {UTILIZATION, "kv-cache-memory-bytes"}
    if deployment.memory_bytes is not None and share(cluster, deployment) is None and not told:
        yield said(
            deployment,
            "memory",
            f"how much memory the GPUs of {', '.join(deployment.hosts)} have is not known",
            "say it in the inventory: gpus: [{index: 0, memory: 24GiB}]",
        )


def _ports(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    """Ray's ports against the APIs and the Ray ports of everything else on the same hosts."""
    if executor(deployment) != "ray":
        return
    pinned = ray_ports(cluster, deployment)
    low, high = pinned["min-worker-port"], pinned["max-worker-port"]
    mine = {port for name, port in pinned.items() if name not in flags("ray")["ranges"]}
    here = placed(cluster)
    near = {one.name: one for host in deployment.hosts for one in here.get(host, ())}
    for other in near.values():
        port = other.port
        if port in mine or low <= port <= high:
            yield said(
                deployment,
                "port",
                f"port {port} of {other.name} is one of the Ray ports of {deployment.name}",
                "take another port, or set `ray:` ports in the profile",
            )
