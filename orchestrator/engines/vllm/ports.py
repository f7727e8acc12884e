"""Ports of a gang, pinned below the ephemeral range; gangs that share a host get their own."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.errors import FilesWrong
from orchestrator.flags import flags
from orchestrator.ranks.slots import slot
from orchestrator.spec.models import Cluster, Deployment


def executor(deployment: Deployment) -> str:
    """How a gang is spread: what the profile says, else Ray over hosts and vLLM's own on one host."""
    chosen = deployment.profile.executor
    return chosen or ("ray" if len(deployment.hosts) > 1 else "mp")


def ray_ports(cluster: Cluster, deployment: Deployment) -> dict[str, int]:
    """`ray start` option → port. What `ray:` in the profile says comes first."""
    table = flags("ray")
    number = slot(cluster, deployment)
    if number >= table["port_slots"]:
        raise FilesWrong(
            f"deployments.{deployment.name}: more than {table['port_slots']} Ray clusters on a host",
            hint="set `ray: {port: …, min-worker-port: …}` in its profile, or use executor: native",
        )
    ports = {name: row["first"] + number * row["step"] for name, row in table["ports"].items()}
    given = {name: value for name, value in _own(deployment.profile.ray).items() if name in ports}
    return {**ports, **given}


def _own(options: Mapping[str, object]) -> dict[str, int]:
    return {
        name.replace("_", "-"): value for name, value in options.items() if isinstance(value, int)
    }


def listening(cluster: Cluster, deployment: Deployment, index: int) -> frozenset[int]:
    """Ports that must be free on a rank's host. Worker ranges are left out: Ray skips taken ones."""
    head = index == 0
    ports = {deployment.port} if head else set()
    kind = executor(deployment)
    if kind == "ray":
        table = flags("ray")
        skip = set(table["ranges"]) | (set() if head else {*table["head_only"], "port"})
        ports |= {p for name, p in ray_ports(cluster, deployment).items() if name not in skip}
    elif kind == "native" and head:
        ports.add(master_port(cluster, deployment))
    return frozenset(ports)


def master_port(cluster: Cluster, deployment: Deployment) -> int:
    """torch.distributed's meeting point, or the data parallel one's."""
    which = "data_parallel" if deployment.parallel.data > 1 else "master"
    return int(flags("vllm")["ports"][which]) + slot(cluster, deployment)
