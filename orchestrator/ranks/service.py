"""A rank of any image: what a container or a job has in common, and nothing of what models need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from orchestrator.contracts import Rank
from orchestrator.network.environment import merge
from orchestrator.ranks.arguments import words
from orchestrator.ranks.build import PROCESS, container_name, gpu_choice, mounts, state_folder
from orchestrator.ranks.context import image_of
from orchestrator.ranks.rules import image_findings, said
from orchestrator.spec.models import Cluster, Deployment, Finding
from orchestrator.spec.services import port_pairs
from orchestrator.spec.units import parse_size

SHM_BYTES = (
    64 * 1024 * 1024
)  # docker's own default: no reason to share the host's IPC with a web page


def published(deployment: Deployment) -> tuple[str, ...]:
    """HOST:CONTAINER for each port where the container has a network of its own; at `endpoint.bind` if said."""
    profile, bind = deployment.profile, deployment.endpoint.bind
    inner = profile.container_port
    pairs = list(port_pairs(profile.ports))
    if inner is None and all(one == other for one, other in pairs):
        return ()
    own = [(deployment.port, inner)] if inner is not None else []
    at = f"[{bind}]:" if bind and ":" in bind else f"{bind}:" if bind else ""
    return tuple(f"{at}{outer}:{port}" for outer, port in [*own, *pairs])


def service_rank(cluster: Cluster, deployment: Deployment, role: str, **own: Any) -> Rank:
    """The image with the profile's words, environment, mounts and ports."""
    profile, host = deployment.profile, deployment.head
    env = merge(cluster.hosts[host].env, profile.env, profile.env_by_host.get(host, {}))
    limits = deployment.limits
    fields: dict[str, Any] = {
        "cluster": cluster.name,
        "deployment": deployment.name,
        "index": 0,
        "host": host,
        "role": role,
        "name": container_name(cluster.name, deployment.name, 0),
        "image": image_of(deployment),
        "entrypoint": profile.entrypoint,
        "argv": (*profile.command, *words(profile.engine_key, profile.args)),
        "env": {name: env[name] for name in sorted(env) if name not in profile.secrets},
        "secrets": frozenset(profile.secrets),
        "mounts": mounts(cluster, deployment, host),
        "gpus": gpu_choice(cluster, deployment, host),
        "publish": published(deployment),
        "shm_bytes": parse_size(profile.shm) if profile.shm is not None else SHM_BYTES,
        "memory_bytes": parse_size(limits.memory) if limits.memory is not None else None,
        "memory_swap_bytes": _size(limits.memory_swap),
        "cpus": limits.cpus,
        "state": state_folder(cluster.hosts[host]),
    }
    return Rank(**{**fields, **own})


def _size(value: str | int | None) -> int | None:
    return parse_size(value) if value is not None else None


def service_findings(
    cluster: Cluster, deployment: Deployment, unfit: Iterable[str]
) -> Iterator[Finding]:
    """One host, one image, and no key that only a model has."""
    profile = deployment.profile
    yield from image_findings(cluster, deployment)
    if len(deployment.hosts) > 1:
        found = said(deployment, "hosts", f"{profile.engine} runs on one host")
        yield found.model_copy(update={"suggestion": "replicas: {per: host, count: …}"})
    for host in deployment.hosts:
        if cluster.hosts[host].runtime == PROCESS:
            why = f"{host} runs processes, and {profile.engine} is a container"
            yield said(deployment, "hosts", why, "a host with docker or podman, or `engine: unit`")
    if deployment.parallel.world > 1:
        yield said(deployment, "parallel", f"{profile.engine} has no parallel sizes")
    for key in ("api_key", "packages", "warmup", "served_name", "task", "executor", *unfit):
        if getattr(profile, key):
            yield Finding(
                message=f"{profile.engine} takes no `{key}`",
                path=f"profiles.{profile.name}.{key}",
            )
