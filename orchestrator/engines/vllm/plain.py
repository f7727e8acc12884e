"""Gangs without Ray: vLLM's own multi-node mode (`native`), and one host with any number of GPUs (`mp`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.contracts import Rank, World
from orchestrator.engines.vllm import data
from orchestrator.engines.vllm.ports import listening, master_port
from orchestrator.engines.vllm.serve import serve, timeouts
from orchestrator.ranks.arguments import program
from orchestrator.ranks.build import RESTART, api_key, environment, member_addresses, rank
from orchestrator.ranks.entrypoint import ENTRY, rendered
from orchestrator.spec.models import Cluster, Deployment


def _multi_node(
    cluster: Cluster, deployment: Deployment, index: int, addresses: Sequence[str]
) -> tuple[str, ...]:
    """Which part of a gang over hosts this rank is."""
    port = str(master_port(cluster, deployment))
    headless = ("--headless",) if index else ()
    sizes = deployment.parallel
    if sizes.data > 1:
        local = data.local(deployment)
        words = ["--data-parallel-size", str(sizes.data), "--data-parallel-size-local", str(local)]
        words += ["--data-parallel-address", addresses[0], "--data-parallel-rpc-port", port]
        if index:
            words += ["--data-parallel-start-rank", str(index * local)]
        return (*words, *headless)
    words = ["--nnodes", str(len(deployment.hosts)), "--node-rank", str(index)]
    words += ["--master-addr", addresses[0], "--master-port", port]
    return (*words, *headless)


def own(
    cluster: Cluster, deployment: Deployment, index: int, addresses: Sequence[str]
) -> tuple[str, ...]:
    """What makes a rank the part of the gang that it is."""
    if len(deployment.hosts) > 1:
        return _multi_node(cluster, deployment, index, addresses)
    sizes = deployment.parallel
    copies = ("--data-parallel-size", str(sizes.data)) if sizes.data > 1 else ()
    world = sizes.tensor * sizes.pipeline
    said = deployment.profile.executor == "mp" and world > 1
    return (*copies, "--distributed-executor-backend", "mp") if said else copies


def ranks(cluster: Cluster, deployment: Deployment, world: World) -> tuple[Rank, ...]:
    addresses = member_addresses(cluster, deployment, world)
    several = len(deployment.hosts) > 1
    # a native gang can't take a single rank back (vllm issue 32136): only one host may restart by itself
    restart = RESTART if deployment.supervision == "entrypoint" and not several else "no"
    made = []
    for index, host in enumerate(deployment.hosts):
        env = dict(timeouts(deployment.profile))
        if several:
            env["VLLM_HOST_IP"] = addresses[index]
        line = serve(
            cluster, deployment, own(cluster, deployment, index, addresses), api=index == 0
        )
        made.append(
            rank(
                cluster,
                deployment,
                index,
                world,
                role="worker" if index else "head",
                env=environment(cluster, deployment, host, world, env),
                ports=listening(cluster, deployment, index),
                secrets=frozenset(deployment.profile.secrets)
                | (api_key(deployment, "VLLM_API_KEY") if index == 0 else frozenset()),
                restart=restart,
                **entry(cluster, deployment, line),
            )
        )
    return tuple(made)


def entry(cluster: Cluster, deployment: Deployment, line: Sequence[str]) -> dict[str, Any]:
    """How the container starts the line: directly, or by a script that installs packages and becomes it."""
    profile = deployment.profile
    if profile.packages:
        values = {
            "python": program(profile, "python3"),
            "packages": profile.packages,
            "serve": line,
        }
        script = rendered(cluster.root, "vllm/packages.sh.j2", **values)
        return {"entrypoint": "sh", "argv": (ENTRY,), "files": {ENTRY: script}}
    if profile.entrypoint:
        return {"entrypoint": profile.entrypoint, "argv": tuple(line)}
    return {"entrypoint": line[0], "argv": tuple(line[1:])}
