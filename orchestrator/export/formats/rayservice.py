"""KubeRay's RayService: a Ray cluster of pods, and Ray Serve's vLLM application on it (ray.serve.llm)."""

from __future__ import annotations

from typing import Any

from orchestrator.contracts import Rank, World
from orchestrator.engines import engine
from orchestrator.engines.vllm.serve import arguments
from orchestrator.export.model import Exported, common, header, yaml_text
from orchestrator.export.pods import container, nodes_unsaid, title, volumes
from orchestrator.ranks.arguments import name_of
from orchestrator.spec.models import Cluster, Deployment

SERVE_PORT = 8000  # of Ray Serve in KubeRay's pods
APPLICATION = "ray.serve.llm:build_openai_app"


class RayService:
    """See model.Format."""

    name = "rayservice"
    what = "Kubernetes: KubeRay's RayService"

    def export(self, cluster: Cluster, world: World) -> Exported:
        made = Exported()
        common(cluster, made)
        written = {}
        for one in cluster.deployments.values():
            where = f"deployments.{one.name}"
            if one.profile.engine_key != "vllm":
                made.leave(
                    where, f"Ray Serve has no {one.profile.engine}: `orch export leaderworkerset`"
                )
                continue
            made.leave(
                where,
                f"the image needs ray[serve,llm] of one version on all pods: {one.profile.image}",
            )
            if one.port != SERVE_PORT:
                made.leave(f"{where}.port", f"Ray Serve answers on {SERVE_PORT} of the service")
            if one.profile.api_key is not None:
                made.leave(
                    f"profiles.{one.profile.name}.api_key",
                    "Ray Serve asks for none: put it in front",
                )
            nodes_unsaid(one, made)
            ranks = engine(one.profile.engine).ranks(cluster, one, world)
            written[title(cluster, one)] = _document(cluster, one, ranks[0], ranks[-1], made)
        for name, document in written.items():
            head = header(
                made, f"kubectl apply -f {name}.yaml, with the KubeRay operator installed."
            )
            made.texts[f"{name}.yaml"] = head + yaml_text(document)
        return made


def _document(
    cluster: Cluster, deployment: Deployment, head: Rank, worker: Rank, made: Exported
) -> dict[str, Any]:
    name = title(cluster, deployment)
    hosts = len(deployment.hosts)
    config: dict[str, Any] = {
        "headGroupSpec": {
            "rayStartParams": {"dashboard-host": "0.0.0.0"},  # noqa: S104  (KubeRay's own service asks it)
            "template": _pod(cluster, deployment, head, made),
        }
    }
    if hosts > 1:
        config["workerGroupSpecs"] = [
            {
                "groupName": "workers",
                "replicas": hosts - 1,
                "minReplicas": hosts - 1,
                "maxReplicas": hosts - 1,
                "rayStartParams": {},
                "template": _pod(cluster, deployment, worker, made),
            }
        ]
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": name},
        "spec": {
            "serveConfigV2": yaml_text({"applications": [_application(cluster, deployment, name)]}),
            "rayClusterConfig": config,
        },
    }


def _pod(cluster: Cluster, deployment: Deployment, rank: Rank, made: Exported) -> dict[str, Any]:
    """KubeRay says how Ray starts; so there is no command."""
    one = container(cluster, deployment, rank, (), made)
    return {"spec": {"containers": [one], "volumes": volumes(cluster, rank, made)}}


def _application(cluster: Cluster, deployment: Deployment, name: str) -> dict[str, Any]:
    profile, sizes = deployment.profile, deployment.parallel
    engine_kwargs: dict[str, Any] = {"tensor_parallel_size": sizes.tensor}
    if sizes.pipeline > 1:
        engine_kwargs["pipeline_parallel_size"] = sizes.pipeline
    engine_kwargs |= {
        name_of(key).replace("-", "_"): value
        for key, value in arguments(cluster, deployment).items()
    }
    replicas = {"min_replicas": sizes.data, "max_replicas": sizes.data}
    model = {"model_id": profile.served_name or profile.model, "model_source": profile.model}
    config = {
        "model_loading_config": model,
        "engine_kwargs": engine_kwargs,
        "deployment_config": {"autoscaling_config": replicas},
    }
    return {
        "name": name,
        "route_prefix": "/",
        "import_path": APPLICATION,
        "args": {"llm_configs": [config]},
    }


FORMAT = RayService()
