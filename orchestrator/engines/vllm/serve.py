"""The `vllm serve` line that all executors share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.flags import flags
from orchestrator.flags.versions import known, version
from orchestrator.ranks.arguments import host_and_port, name_of, program, words
from orchestrator.ranks.tasks import task_words
from orchestrator.spec.gpus import share
from orchestrator.spec.models import Cluster, Deployment, Profile
from orchestrator.spec.units import parse_duration

UTILIZATION = "gpu-memory-utilization"


def serves(profile: Profile) -> tuple[str, ...]:
    return (*program(profile, "vllm"), "serve")


def has(profile: Profile, what: str) -> bool:
    """Whether this version is known to have a flag that came later."""
    table = known("vllm")
    return table is not None and table.has(what, version(profile))


def start_seconds(profile: Profile) -> int:
    return round(parse_duration(profile.ready.start))


def timeouts(profile: Profile) -> dict[str, str]:
    """The engine's own patience follows `ready:`; versions without it only warn (facts: vLLM 2.5)."""
    return {"VLLM_ENGINE_READY_TIMEOUT_S": str(start_seconds(profile))}


def serve(
    cluster: Cluster, deployment: Deployment, own: tuple[str, ...], *, api: bool = True
) -> tuple[str, ...]:
    """`vllm serve MODEL`, what orch sets, then the user's arguments in their order."""
    profile = deployment.profile
    line = [*serves(profile), profile.model]
    if profile.served_name:
        line += ["--served-model-name", profile.served_name]
    if api:
        line += host_and_port(deployment)
    sizes = deployment.parallel
    line += ["--tensor-parallel-size", str(sizes.tensor)]
    if sizes.pipeline > 1:
        line += ["--pipeline-parallel-size", str(sizes.pipeline)]
    line += _distributed_timeout(deployment)
    line += task_words(profile, version(profile))
    skip = () if api else flags("vllm")["head_only"]
    args = arguments(cluster, deployment)
    kept = {key: value for key, value in args.items() if name_of(key) not in skip}
    return (*line, *own, *words("vllm", kept))


def arguments(cluster: Cluster, deployment: Deployment) -> Mapping[str, Any]:
    """The profile's; `memory:` of the deployment as the share that vLLM understands."""
    args, part = deployment.profile.args, share(cluster, deployment)
    if part is None or "kv-cache-memory-bytes" in {name_of(key) for key in args}:
        return args
    kept = {key: value for key, value in args.items() if name_of(key) != UTILIZATION}
    return {**kept, UTILIZATION: part}


def _distributed_timeout(deployment: Deployment) -> list[str]:
    """How long ranks wait for each other, where this version is known to have the flag."""
    profile, flag = deployment.profile, "distributed-timeout-seconds"
    given = flag in {name_of(key) for key in profile.args}
    if given or len(deployment.hosts) == 1 or not has(profile, flag):
        return []
    return [f"--{flag}", str(start_seconds(profile))]
