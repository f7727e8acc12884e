"""What every engine's ranks take from the files in the same way: GPUs, mounts, limits, names, environment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, TypeVar

from orchestrator.contracts import Facts, Mount, Query, Rank, World
from orchestrator.errors import NotRead
from orchestrator.facts import ReadRdma
from orchestrator.network.environment import rank_environment
from orchestrator.spec.models import Cluster, Deployment, Host, LimitsEntry
from orchestrator.spec.units import parse_size

T = TypeVar("T")

ROOT_STATE = "/var/lib/orch"
USER_STATE = "~/.local/state/orch"
RESTART = "on-failure:10"  # the field notes' figure: seeds 001, "Auto-Restart on Failure"


def read(world: World, host: str, query: Query[T]) -> T | None:
    """An answer, or None where no host was asked (offline: `orch render`, `orch check`)."""
    facts: Facts | None = world.get(host)
    if facts is None:
        return None
    try:
        return facts.get(query)
    except NotRead:
        return None


def container_name(cluster: str, deployment: str, index: int) -> str:
    return f"orch-{cluster}-{deployment}-{index}"


def state_folder(host: Host) -> str:
    """Where a host keeps files of ours: root's, or the user's where there is no sudo."""
    return ROOT_STATE if host.become == "sudo" else USER_STATE


def synced_path(cluster: Cluster, host: Host, source: str) -> str:
    """Where a local file or folder with `sync: true` comes to lie on a host."""
    mark = hashlib.sha256(source.encode()).hexdigest()[:8]
    name = PurePosixPath(source).name or "root"
    return f"{state_folder(host)}/sync/{cluster.name}/{mark}-{name}"


def gpu_count(cluster: Cluster, deployment: Deployment, host: str) -> int | None:
    """How many GPUs the deployment uses on a host; None where the files can't tell."""
    asked = deployment.gpus
    if asked == "all":
        return cluster.hosts[host].gpu_count
    return asked if isinstance(asked, int) else len(asked)


def gpu_choice(cluster: Cluster, deployment: Deployment, host: str) -> tuple[str, ...] | Any:
    """`Rank.gpus`: what the container sees. UUIDs where the inventory has them: indices move."""
    place = cluster.hosts[host]
    count = place.gpu_count
    if place.kind.logical_gpus or count == 0 or deployment.gpus in (0, ()):
        return None
    if deployment.gpus == "all":
        return "all"
    asked = deployment.gpus
    indices = range(asked) if isinstance(asked, int) else asked
    listed = place.gpus or ()
    chosen = []
    for position in indices:
        entry = listed[position] if position < len(listed) else None
        chosen.append((entry.uuid or str(entry.index)) if entry else str(position))
    return tuple(chosen)


def uses_rdma(cluster: Cluster, deployment: Deployment, host: str, world: World) -> bool:
    """Whether the rank gets the InfiniBand devices: ports that have them, not turned off, and really there."""
    place = cluster.hosts[host]
    wanted = deployment.gate.rdma != "off" and len(deployment.hosts) > 1
    if not wanted or not any(half.rdma for port in place.ports.values() for half in port.halves):
        return False
    found = read(world, host, ReadRdma())
    return found is None or (found.dev_infiniband and found.memlock_unlimited)


def mounts(cluster: Cluster, deployment: Deployment, host: str) -> tuple[Mount, ...]:
    return tuple(_mounts(cluster, deployment, cluster.hosts[host]))


def _mounts(cluster: Cluster, deployment: Deployment, host: Host) -> Iterator[Mount]:
    profile = deployment.profile
    for entry in profile.mounts:
        source = synced_path(cluster, host, entry.from_) if entry.sync else entry.from_
        yield Mount(source, entry.to, read_only=entry.read_only)
    for name, target in profile.caches.items():
        yield Mount(f"orch-cache-{name}", target)
    for target, options in profile.tmpfs.items():
        yield Mount("", target, tmpfs=True, options=options)
    targets = [PurePosixPath(entry.to) for entry in profile.mounts]
    model = PurePosixPath(profile.model)
    if model.is_absolute() and not any(model.is_relative_to(target) for target in targets):
        yield Mount(profile.model, profile.model, read_only=True)


def text(value: Any) -> str:
    """A scalar of the files as an environment variable's value; true and false as the tools read them."""
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)


def environment(
    cluster: Cluster, deployment: Deployment, host: str, world: World, own: Mapping[str, str]
) -> dict[str, str]:
    """The rank's variables. Later wins: network and kind, engine, host, profile, the odd one out."""
    profile = deployment.profile
    layers: list[Mapping[str, Any]] = [
        rank_environment(cluster, deployment, host, world),
        own,
        cluster.hosts[host].env,
        profile.env,
        profile.env_by_host.get(host, {}),
    ]
    merged = {name: value for layer in layers for name, value in layer.items()}
    return {
        name: text(value)
        for name, value in sorted(merged.items())
        if value is not None and name not in profile.secrets
    }


def _limit(entry: LimitsEntry, field: str) -> int | None:
    value = getattr(entry, field)
    return parse_size(value) if value is not None else None


def common(cluster: Cluster, deployment: Deployment, index: int, world: World) -> dict[str, Any]:
    """The fields of a `Rank` that no engine decides."""
    host = deployment.hosts[index]
    profile = deployment.profile
    return {
        "cluster": cluster.name,
        "deployment": deployment.name,
        "index": index,
        "host": host,
        "name": container_name(cluster.name, deployment.name, index),
        "image": profile.image or "",
        "secrets": frozenset(profile.secrets),
        "mounts": mounts(cluster, deployment, host),
        "gpus": gpu_choice(cluster, deployment, host),
        "rdma": uses_rdma(cluster, deployment, host, world),
        "shm_bytes": parse_size(profile.shm) if profile.shm is not None else None,
        "memory_bytes": _limit(deployment.limits, "memory"),
        "memory_swap_bytes": _limit(deployment.limits, "memory_swap"),
        "cpus": deployment.limits.cpus,
        "state": state_folder(cluster.hosts[host]),
    }


def rank(cluster: Cluster, deployment: Deployment, index: int, world: World, **own: Any) -> Rank:
    """A rank from what the files say and what its engine adds."""
    return Rank(**{**common(cluster, deployment, index, world), **own})
