"""What Kubernetes' forms share: a rank as a pod's container, with its volumes, GPUs and secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from orchestrator.contracts import Mount, Rank
from orchestrator.export.model import Exported, home, plain_name, secrets
from orchestrator.knowledge.servers import table
from orchestrator.network.environment import SOCKET_NAMES
from orchestrator.ranks.build import gpu_count
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.spec.units import parse_size

VARIABLE = re.compile(r"\$\(")
PER_HOST = frozenset((*SOCKET_NAMES, *table()["derived"]))
OURS = frozenset(
    ("ORCH_GANG", "RAY_ADDRESS", "AUTOSCALER_METRIC_PORT")
)  # of gangs that orch starts
GPU = "nvidia.com/gpu"


def title(cluster: Cluster, deployment: Deployment) -> str:
    return plain_name(f"{cluster.name}-{deployment.name}")


def secret_name(cluster: Cluster, deployment: Deployment) -> str:
    return f"{title(cluster, deployment)}-secrets"


def escaped(word: str) -> str:
    """`$(NAME)` is Kubernetes' own."""
    return VARIABLE.sub("$$(", word)


def container(
    cluster: Cluster, deployment: Deployment, rank: Rank, words: Sequence[str], made: Exported
) -> dict[str, Any]:
    """`words` are its command, with Kubernetes' variables where they are meant."""
    one: dict[str, Any] = {"name": plain_name(deployment.profile.engine), "image": rank.image}
    if words:
        one["command"] = list(words)
    one["env"] = list(_environment(cluster, deployment, rank, made))
    one["resources"] = {"limits": _limits(cluster, deployment, rank, made)}
    one["volumeMounts"] = [_mounted(at, mount) for at, mount in enumerate(rank.mounts)]
    one["volumeMounts"].append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108  (the pod's)
    return one


def _environment(
    cluster: Cluster, deployment: Deployment, rank: Rank, made: Exported
) -> Iterator[dict[str, Any]]:
    """What belongs to one host is left out: pods have addresses and interfaces of their own."""
    yield {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    if "VLLM_HOST_IP" in rank.env:
        yield {"name": "VLLM_HOST_IP", "value": "$(POD_IP)"}
    for name, value in sorted(rank.env.items()):
        if name in OURS:
            continue
        if name in PER_HOST:
            if name != "VLLM_HOST_IP":
                made.leave(f"environment.{name}", "of one host: set it for your pods' network")
            continue
        yield {"name": name, "value": escaped(value)}
    for name in secrets(deployment, rank):
        key = {"name": secret_name(cluster, deployment), "key": name}
        yield {"name": name, "valueFrom": {"secretKeyRef": key}}
        made.leave(
            f"deployments.{deployment.name}",
            f"kubectl create secret generic {key['name']} --from-literal={name}=… (or --from-file)",
        )


def _limits(cluster: Cluster, deployment: Deployment, rank: Rank, made: Exported) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    if rank.gpus is not None:
        count = gpu_count(cluster, deployment, rank.host)
        limits[GPU] = 1 if count is None else count
        if count is None:
            made.leave(f"hosts.{rank.host}", "how many GPUs it has is not told: 1 is written")
        if isinstance(deployment.gpus, tuple):
            made.leave(
                f"deployments.{deployment.name}.gpus", "which GPUs of a node: Kubernetes chooses"
            )
    if rank.memory_bytes is not None:
        limits["memory"] = str(rank.memory_bytes)
    if rank.cpus is not None:
        limits["cpu"] = f"{rank.cpus:g}"
    if rank.rdma:
        made.leave(
            f"deployments.{deployment.name}",
            "RDMA: add your device plugin's resource, like rdma/…: 1",
        )
    return limits


def _mounted(at: int, mount: Mount) -> dict[str, Any]:
    made: dict[str, Any] = {"name": f"v{at}", "mountPath": mount.target}
    return made | ({"readOnly": True} if mount.read_only else {})


def volumes(cluster: Cluster, rank: Rank, made: Exported) -> list[dict[str, Any]]:
    """Folders of the node, claims for named volumes, memory for tmpfs and /dev/shm."""
    found = [_volume(cluster, rank, at, one, made) for at, one in enumerate(rank.mounts)]
    shared: dict[str, Any] = {"medium": "Memory"}
    if rank.shm_bytes is not None:
        shared["sizeLimit"] = str(rank.shm_bytes)
    return [*found, {"name": "shm", "emptyDir": shared}]


def _volume(cluster: Cluster, rank: Rank, at: int, mount: Mount, made: Exported) -> dict[str, Any]:
    name = f"v{at}"
    if mount.tmpfs:
        memory: dict[str, Any] = {"medium": "Memory"}
        size = re.search(r"(?:^|,)size=(\w+)", mount.options)
        if size is not None:
            memory["sizeLimit"] = str(parse_size(size[1]))
        return {"name": name, "emptyDir": memory}
    if "/" not in mount.source and mount.source != "~":
        claim = plain_name(mount.source)
        made.leave("volumes", f"a PersistentVolumeClaim {claim} must be there for {mount.target}")
        return {"name": name, "persistentVolumeClaim": {"claimName": claim}}
    path = mount.source
    if path.startswith("~"):
        path = (home(cluster.hosts[rank.host]) or "/root") + path[1:]
    made.leave("volumes", f"{path} is read on each node (hostPath)")
    return {"name": name, "hostPath": {"path": path}}


def probe(deployment: Deployment, seconds: int) -> dict[str, Any]:
    """Ready when the server's own health answers; so long may the start take."""
    http = {"httpGet": {"path": "/health", "port": deployment.port}}
    return {
        "startupProbe": {**http, "periodSeconds": 10, "failureThreshold": max(1, seconds // 10)},
        "readinessProbe": {**http, "periodSeconds": 10},
    }


def nodes_unsaid(deployment: Deployment, made: Exported) -> None:
    where = f"deployments.{deployment.name}"
    made.leave(
        where, f"which nodes: {', '.join(deployment.hosts)} here; use a nodeSelector or affinity"
    )
    if deployment.profile.env_by_host:
        made.leave(f"profiles.{deployment.profile.name}.env_by_host", "pods of a group are alike")
    if deployment.profile.packages:
        packages = ", ".join(deployment.profile.packages)
        made.leave(f"profiles.{deployment.profile.name}.packages", f"an image with {packages}")
    if deployment.share_gpu:
        made.leave(f"{where}.share_gpu", "GPUs are given whole")
