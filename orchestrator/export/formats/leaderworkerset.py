"""Kubernetes' LeaderWorkerSet: a gang as one group of pods, which is made anew as a whole when one of them ends.

The leader's address, the group's size and a pod's index are variables that LWS sets in each pod (its API, v1).
"""

from __future__ import annotations

from typing import Any

from orchestrator.contracts import Rank, World
from orchestrator.engines import engine
from orchestrator.engines.llamacpp import rpc_line, server_line
from orchestrator.engines.vllm.ports import executor, master_port
from orchestrator.engines.vllm.serve import serve, start_seconds
from orchestrator.export.model import Exported, common, header, yaml_text
from orchestrator.export.pods import (
    container,
    escaped,
    nodes_unsaid,
    probe,
    title,
    volumes,
)
from orchestrator.spec.models import Cluster, Deployment

SIZE, INDEX, LEADER = "$(LWS_GROUP_SIZE)", "$(LWS_WORKER_INDEX)", "$(LWS_LEADER_ADDRESS)"


class LeaderWorkerSet:
    """See model.Format."""

    name = "leaderworkerset"
    what = "Kubernetes: LeaderWorkerSet"

    def export(self, cluster: Cluster, world: World) -> Exported:
        made = Exported()
        common(cluster, made)
        written = {}
        for one in cluster.deployments.values():
            lines = _lines(cluster, one, made)
            if lines is None:
                continue
            nodes_unsaid(one, made)
            ranks = engine(one.profile.engine).ranks(cluster, _without_ray(one), world)
            written[title(cluster, one)] = _documents(
                cluster, one, ranks[0], ranks[-1], lines, made
            )
        for name, documents in written.items():
            head = header(
                made,
                f"kubectl apply -f {name}.yaml, with the LeaderWorkerSet controller installed.",
            )
            made.texts[f"{name}.yaml"] = head + yaml_text(*documents)
        return made


def _lines(
    cluster: Cluster, deployment: Deployment, made: Exported
) -> tuple[list[str], list[str]] | None:
    """The leader's words and the workers'."""
    where = f"deployments.{deployment.name}"
    key = deployment.profile.engine_key
    if key == "vllm" and (deployment.parallel.data == 1 or len(deployment.hosts) == 1):
        if executor(deployment) == "ray":
            made.leave(
                where, "vLLM's own multi-node mode takes Ray's place; `rayservice` keeps Ray"
            )
        return _vllm(cluster, deployment, 0), _vllm(cluster, deployment, 1)
    if key == "llamacpp":
        return _llama(cluster, deployment)
    told = (
        "data parallel over hosts" if key == "vllm" else f"the engine {deployment.profile.engine}"
    )
    made.leave(where, f"{told}: not written as a LeaderWorkerSet")
    return None


def _without_ray(deployment: Deployment) -> Deployment:
    """The same over vLLM's own multi-node mode."""
    if deployment.profile.engine_key != "vllm" or executor(deployment) != "ray":
        return deployment
    profile = deployment.profile.model_copy(update={"executor": "native"})
    return deployment.model_copy(update={"profile": profile})


def _vllm(cluster: Cluster, deployment: Deployment, index: int) -> list[str]:
    own: tuple[str, ...] = ()
    if len(deployment.hosts) > 1:
        port = str(master_port(cluster, deployment))
        own = (
            "--nnodes",
            SIZE,
            "--node-rank",
            INDEX,
            "--master-addr",
            LEADER,
            "--master-port",
            port,
        )
        own += ("--headless",) if index else ()
    line = serve(cluster, deployment, own, api=index == 0)
    return [word if word in own and word.startswith("$(LWS") else escaped(word) for word in line]


def _llama(cluster: Cluster, deployment: Deployment) -> tuple[list[str], list[str]]:
    """Workers have names of their own: NAME-0-1.NAME, as LWS calls the pods of its first group."""
    name = title(cluster, deployment)
    workers = [f"{name}-0-{at}.{name}" for at in range(1, len(deployment.hosts))]
    leader = [escaped(word) for word in server_line(deployment, workers)]
    return leader, list(rpc_line(deployment, "$(POD_IP)"))


def _documents(
    cluster: Cluster,
    deployment: Deployment,
    head: Rank,
    worker: Rank,
    lines: tuple[list[str], list[str]],
    made: Exported,
) -> list[dict[str, Any]]:
    name = title(cluster, deployment)
    leader = container(cluster, deployment, head, lines[0], made)
    leader["ports"] = [{"containerPort": deployment.port}]
    leader |= probe(deployment, start_seconds(deployment.profile))
    template: dict[str, Any] = {
        "size": len(deployment.hosts),
        "restartPolicy": "RecreateGroupOnPodRestart",
        "leaderTemplate": {
            "metadata": {"labels": {"app": name, "role": "leader"}},
            "spec": {"containers": [leader], "volumes": volumes(cluster, head, made)},
        },
    }
    other = container(cluster, deployment, worker, lines[1], made)
    template["workerTemplate"] = {
        "metadata": {"labels": {"app": name, "role": "worker"}},
        "spec": {"containers": [other], "volumes": volumes(cluster, worker, made)},
    }
    group = {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": name},
        "spec": {"replicas": 1, "leaderWorkerTemplate": template},
    }
    return [group, service(name, deployment)]


def service(name: str, deployment: Deployment) -> dict[str, Any]:
    """Where people ask it: the leader's port."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"{name}-api"},
        "spec": {
            "selector": {"app": name, "role": "leader"},
            "ports": [{"name": "http", "port": deployment.port, "targetPort": deployment.port}],
        },
    }


FORMAT = LeaderWorkerSet()
