"""A gang on Ray: the head starts Ray, waits for exactly its members, serves; workers join and stay."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.contracts import Rank, World
from orchestrator.engines.vllm import data
from orchestrator.engines.vllm.ports import listening, ray_ports
from orchestrator.engines.vllm.serve import serve, start_seconds, timeouts
from orchestrator.flags import flags
from orchestrator.ranks.arguments import program, word
from orchestrator.ranks.build import (
    PROCESS,
    RESTART,
    api_key,
    environment,
    gpu_count,
    member_addresses,
    rank,
)
from orchestrator.ranks.entrypoint import ENTRY, FOLDER, READY, RUN, rendered, verbatim
from orchestrator.spec.models import Cluster, Deployment

GANG_PROGRAM = f"{FOLDER}/gang.py"
POLL_S = 1
BACKEND = ("--distributed-executor-backend", "ray")


def options(given: Mapping[str, Any]) -> Iterator[str]:
    """`ray start` options; click takes flags bare and everything else glued."""
    bare = flags("ray")["flags"]
    for name, value in given.items():
        if name in bare:
            if value:
                yield f"--{name}"
        elif value is not None:
            yield f"--{name}={word(value)}"


def start_line(
    cluster: Cluster, deployment: Deployment, index: int, addresses: Sequence[str]
) -> tuple[str, ...]:
    """`ray start` for one node, in the foreground."""
    head = index == 0
    ports = ray_ports(cluster, deployment)
    table = flags("ray")
    skip = {"port", *table["variables"]} | (set() if head else set(table["head_only"]))
    where: dict[str, Any] = {"node-ip-address": addresses[index]}
    if head:
        where = {"head": True, **where, "port": ports["port"], "include-dashboard": False}
    else:
        where = {"address": f"{addresses[0]}:{ports['port']}", **where}
    pinned = {name: port for name, port in ports.items() if name not in skip}
    own = {name.replace("_", "-"): value for name, value in deployment.profile.ray.items()}
    gpus = gpu_count(cluster, deployment, deployment.hosts[index])
    amount = {"num-gpus": gpus} if gpus is not None else {}
    merged = {**where, **pinned, **amount, "disable-usage-stats": True}
    merged |= {name: value for name, value in own.items() if name not in table["ports"]}
    if head:
        merged.pop("address", None)
    return (*program(deployment.profile, "ray"), "start", *options(merged), "--block")


def _expected(cluster: Cluster, deployment: Deployment, addresses: Sequence[str]) -> Iterator[str]:
    given = deployment.profile.ray.get("num-gpus", deployment.profile.ray.get("num_gpus"))
    for host, address in zip(deployment.hosts, addresses, strict=True):
        counted = gpu_count(cluster, deployment, host)
        gpus = given if isinstance(given, int) else 1 if counted is None else counted
        yield f"{address}={gpus}={host}"


def _per_host(ranks: Sequence[Rank]) -> list[str]:
    """Variables that differ between ranks: Ray must not carry the head's to the others (before vLLM 0.21)."""
    names = {name for one in ranks for name in one.env}
    return sorted(name for name in names if len({one.env.get(name) for one in ranks}) > 1)


def _values(cluster: Cluster, deployment: Deployment, index: int) -> dict[str, Any]:
    profile = deployment.profile
    figures = flags("vllm")["entrypoint"]
    return {
        "python": list(program(profile, "python3")),
        "packages": list(profile.packages),
        "patience": start_seconds(profile),
        "poll": POLL_S,
        **{name.removesuffix("_s"): value for name, value in figures.items()},
    }


def own(
    cluster: Cluster, deployment: Deployment, index: int, addresses: Sequence[str]
) -> tuple[str, ...]:
    """What the one `vllm serve` of the gang is told of it."""
    return (*BACKEND, *data.over_ray(deployment, addresses[0]))


def _script(
    cluster: Cluster,
    deployment: Deployment,
    index: int,
    addresses: Sequence[str],
    per_host: Sequence[str],
) -> str:
    values = _values(cluster, deployment, index)
    values["ray_start"] = list(start_line(cluster, deployment, index, addresses))
    values["gcs_port"] = ray_ports(cluster, deployment)["port"]
    values["address"] = addresses[index]
    if index:
        return rendered(cluster.root, "vllm/ray-worker.sh.j2", head=addresses[0], **values)
    return rendered(
        cluster.root,
        "vllm/ray-head.sh.j2",
        run=RUN,
        ready=READY,
        gang_program=GANG_PROGRAM,
        expect=list(_expected(cluster, deployment, addresses)),
        serve=list(serve(cluster, deployment, own(cluster, deployment, index, addresses))),
        per_host=json.dumps(list(per_host)),
        **values,
    )


def ranks(cluster: Cluster, deployment: Deployment, world: World) -> tuple[Rank, ...]:
    """Head first. Environment before scripts: the head's script names what differs between hosts."""
    addresses = member_addresses(cluster, deployment, world)
    restart = RESTART if deployment.supervision == "entrypoint" else "no"
    bare = []
    for index, host in enumerate(deployment.hosts):
        mine = {
            **timeouts(deployment.profile),
            "VLLM_HOST_IP": addresses[index],
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        if cluster.hosts[host].runtime == PROCESS:
            mine["VLLM_CONFIG_ROOT"] = (
                f"{FOLDER}/vllm"  # what the head's script writes is the rank's
            )
        if index == 0:
            ports = ray_ports(cluster, deployment)
            mine["RAY_ADDRESS"] = f"{addresses[0]}:{ports['port']}"
            mine |= {name: str(ports[name]) for name in flags("ray")["variables"]}
            mine |= data.environment(deployment)
        bare.append(
            rank(
                cluster,
                deployment,
                index,
                world,
                role="worker" if index else "head",
                entrypoint="sh",
                argv=(ENTRY,),
                env=environment(cluster, deployment, host, world, mine),
                ports=listening(cluster, deployment, index),
                secrets=frozenset(deployment.profile.secrets)
                | (api_key(deployment, "VLLM_API_KEY") if index == 0 else frozenset()),
                restart=restart,
            )
        )
    per_host = _per_host(bare)
    made = []
    for one in bare:
        files = {ENTRY: _script(cluster, deployment, one.index, addresses, per_host)}
        if one.index == 0:
            files[GANG_PROGRAM] = verbatim(cluster.root, "vllm/ray-gang.py")
        made.append(replace(one, files=files))
    return tuple(made)
