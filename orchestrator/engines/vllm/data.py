"""Data parallel: replicas of a model behind one API on the head, which spreads the requests.

Whole replicas on each host: vLLM's own processes (`native`), or Ray's actors. Replicas over several hosts: Ray
alone, whose nodes must be alike then. Source: vllm 0.32.0, v1/engine/utils.py (create_dp_placement_groups),
engine/arg_utils.py (create_engine_config).
"""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.engines.vllm.ports import executor
from orchestrator.ranks.build import gpu_count
from orchestrator.ranks.rules import said
from orchestrator.spec.models import Cluster, Deployment, Finding

PACK = "VLLM_RAY_DP_PACK_STRATEGY"


def local(deployment: Deployment) -> int:
    """Whole replicas on each host; 0 where one takes several hosts."""
    return deployment.parallel.data // len(deployment.hosts)


def over_ray(deployment: Deployment, head: str) -> tuple[str, ...]:
    """What the one `vllm serve` of a Ray gang is told; it starts all replicas."""
    data = deployment.parallel.data
    if data == 1:
        return ()
    words = ["--data-parallel-backend", "ray", "--data-parallel-size", str(data)]
    if local(deployment):
        words += ["--data-parallel-size-local", str(local(deployment))]
    return (*words, "--data-parallel-address", head)


def environment(deployment: Deployment) -> dict[str, str]:
    """Where Ray puts replicas: as many on each host, or each on several."""
    if deployment.parallel.data == 1:
        return {}
    return {PACK: "strict" if local(deployment) else "span"}


def findings(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    """Sizes that vLLM would refuse, or wait for without end."""
    data, hosts = deployment.parallel.data, len(deployment.hosts)
    if data == 1 or executor(deployment) == "mp":
        return
    if data % hosts == 0:
        yield from _whole(cluster, deployment)
    elif hosts % data:
        yield said(
            deployment,
            "parallel.data",
            f"{data} replicas can't be spread evenly over {hosts} hosts",
            "as many on each host, or one on as many hosts each",
        )
    elif executor(deployment) == "native":
        yield said(
            deployment,
            "parallel.data",
            f"a replica over {hosts // data} hosts takes Ray",
            "executor: ray; or tensor and pipeline that fit into one host",
        )
    else:
        yield from _spread(cluster, deployment)


def _each(deployment: Deployment) -> int:
    """GPUs of one replica."""
    return deployment.parallel.tensor * deployment.parallel.pipeline


def _whole(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    count, each = local(deployment), _each(deployment)
    for host in deployment.hosts:
        has = gpu_count(cluster, deployment, host)
        if has is not None and has < count * each:
            yield said(
                deployment,
                "parallel",
                f"{count} of {deployment.parallel.data} replicas with {each} GPUs each are for {host},"
                f" which has {has}",
                "tensor and pipeline parallel stay inside a host when data is above 1",
            )
            return


def _spread(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    """Ray's strategy "span": all nodes alike, each with one part of one replica, and fully used."""
    hosts, each = len(deployment.hosts) // deployment.parallel.data, _each(deployment)
    counts = {gpu_count(cluster, deployment, host) for host in deployment.hosts} - {None}
    if len(counts) > 1 or any(has is not None and has * hosts != each for has in counts):
        told = ", ".join(str(has) for has in sorted(has for has in counts if has is not None))
        yield said(
            deployment,
            "parallel",
            f"a replica over {hosts} hosts takes all of their GPUs: {each} do not make {hosts} times {told}",
            "hosts that are alike, and tensor x pipeline = their GPUs",
        )
