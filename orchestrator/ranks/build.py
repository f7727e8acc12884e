"""What every engine's ranks take from the files in the same way: GPUs, mounts, limits, names, environment."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from orchestrator.contracts import Mount, Rank, World
from orchestrator.facts import ReadRdma
from orchestrator.network.environment import (
    merge,
    rank_address,
    rank_devices,
    rank_environment,
)
from orchestrator.ranks.context import image_of
from orchestrator.ranks.local import digest
from orchestrator.ranks.patched import patch_mounts
from orchestrator.ranks.spec import as_gang
from orchestrator.ranks.state import PROCESS, ROOT_STATE, USER_STATE, state_folder
from orchestrator.spec.models import Cluster, Deployment, Host, LimitsEntry
from orchestrator.spec.units import parse_size

__all__ = ["PROCESS", "ROOT_STATE", "USER_STATE", "state_folder"]
# llama.cpp is given the first part, and finds the others beside it
PART = re.compile(r"-\d{5}-of-\d{5}\.gguf$")
RESTART = "on-failure:10"  # the field notes' figure: seeds 001, "Auto-Restart on Failure"


def container_name(cluster: str, deployment: str, index: int) -> str:
    return f"orch-{cluster}-{deployment}-{index}"


def synced_path(cluster: Cluster, host: Host, source: str) -> str:
    """Where a local file or folder with `sync: true` comes to lie on a host: its content is in the name."""
    name = PurePosixPath(source).name or "root"
    return f"{state_folder(host)}/sync/{cluster.name}/{digest(source)}-{name}"


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
        none = deployment.gpus in (0, ()) and not place.kind.logical_gpus
        return () if none and place.runtime == PROCESS else None
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


def container_hosts(cluster: Cluster, deployment: Deployment) -> tuple[str, ...]:
    """The hosts of a gang, head first, that run it in containers: they need its image."""
    return tuple(one for one in deployment.hosts if cluster.hosts[one].runtime != PROCESS)


def member_addresses(cluster: Cluster, deployment: Deployment, world: World) -> tuple[str, ...]:
    """Where each rank is reached by the others, head first."""
    return tuple(rank_address(cluster, deployment, host, world) for host in deployment.hosts)


def gang(
    cluster: Cluster,
    deployment: Deployment,
    world: World,
    make: Callable[[Cluster, Deployment, int, Sequence[str], World], Rank],
) -> tuple[Rank, ...]:
    """A rank on each host, head first, each made knowing the addresses of all."""
    addresses = member_addresses(cluster, deployment, world)
    each = range(len(deployment.hosts))
    return as_gang(make(cluster, deployment, index, addresses, world) for index in each)


def uses_rdma(cluster: Cluster, deployment: Deployment, host: str, world: World) -> bool:
    """Whether the rank gets the InfiniBand devices: its data goes through some, and a container may have them."""
    if not rank_devices(cluster, deployment, host, world):
        return False
    found = world[host].get(ReadRdma())
    own = cluster.hosts[host].runtime == PROCESS  # its limit is looked at by the start itself
    return found.dev_infiniband and (found.memlock_unlimited or own)


def mounts(
    cluster: Cluster, deployment: Deployment, host: str, *, model: bool = True
) -> tuple[Mount, ...]:
    """What the profile mounts, and the model's own path where nothing else brings it. A process mounts nothing."""
    if cluster.hosts[host].runtime == PROCESS:
        return ()
    found = tuple(_mounts(cluster, deployment, cluster.hosts[host]))
    return (*found, *_model_mount(deployment)) if model else found


def _mounts(cluster: Cluster, deployment: Deployment, host: Host) -> Iterator[Mount]:
    profile = deployment.profile
    for entry in profile.mounts:
        source = synced_path(cluster, host, entry.from_) if entry.sync else entry.from_
        yield Mount(source, entry.to, read_only=entry.read_only)
    for name, target in profile.caches.items():
        yield Mount(f"orch-cache-{name}", target)
    for target, options in profile.tmpfs.items():
        yield Mount("", target, tmpfs=True, options=options)


def _model_mount(deployment: Deployment) -> Iterator[Mount]:
    profile = deployment.profile
    targets = [PurePosixPath(entry.to) for entry in profile.mounts]
    model = PurePosixPath(profile.model)
    if model.is_absolute() and not any(model.is_relative_to(target) for target in targets):
        source = str(model.parent if PART.search(model.name) else model)  # its parts lie beside it
        yield Mount(source, source, read_only=True)


def environment(
    cluster: Cluster, deployment: Deployment, host: str, world: World, own: Mapping[str, str]
) -> dict[str, str]:
    """The rank's variables: the engine's, then what the network derives, then the profile's and the odd one out's."""
    profile = deployment.profile
    merged = merge(
        own,
        rank_environment(cluster, deployment, host, world),
        profile.env,
        profile.env_by_host.get(host, {}),
    )
    return {name: merged[name] for name in sorted(merged) if name not in profile.secrets}


def api_key(deployment: Deployment, variable: str) -> frozenset[str]:
    """The variable that gets the API key, if there is one: NAME=<name of the secret>."""
    wanted = deployment.profile.api_key is not None and variable not in deployment.profile.secrets
    return frozenset({f"{variable}=api_key"}) if wanted else frozenset()


def folders(cluster: Cluster, deployment: Deployment, host: str) -> dict[str, tuple[str, ...]]:
    """`Rank.paths`: what `venv:`, `cuda_home:` and `library_paths:` mean for a process."""
    profile = deployment.profile
    if cluster.hosts[host].runtime != PROCESS:
        return {}
    own = [_home(one) for one in (profile.venv, profile.cuda_home) if one]
    libraries = [_home(one) for one in profile.library_paths]
    libraries += [f"{_home(profile.cuda_home)}/lib64"] if profile.cuda_home else []
    found = {
        "PATH": tuple(f"{one}/bin" for one in own),
        "LD_LIBRARY_PATH": tuple(libraries),
        "VIRTUAL_ENV": (_home(profile.venv),) if profile.venv else (),
        "CUDA_HOME": (_home(profile.cuda_home),) if profile.cuda_home else (),
    }
    return {name: paths for name, paths in found.items() if paths}


def _home(path: str) -> str:
    """A path that starts nowhere else starts in the home of the user on the host."""
    return path.rstrip("/") if path.startswith(("/", "~/")) else f"~/{path.rstrip('/')}"


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
        "image": image_of(deployment) if cluster.hosts[host].runtime != PROCESS else "",
        "secrets": frozenset(profile.secrets),
        "mounts": (
            *mounts(cluster, deployment, host),
            *patch_mounts(cluster, deployment, host, world),
        ),
        "gpus": gpu_choice(cluster, deployment, host),
        "rdma": uses_rdma(cluster, deployment, host, world),
        "shm_bytes": parse_size(profile.shm) if profile.shm is not None else None,
        "memory_bytes": _limit(deployment.limits, "memory"),
        "memory_swap_bytes": _limit(deployment.limits, "memory_swap"),
        "cpus": deployment.limits.cpus,
        "state": state_folder(cluster.hosts[host]),
        "paths": folders(cluster, deployment, host),
    }


def rank(cluster: Cluster, deployment: Deployment, index: int, world: World, **own: Any) -> Rank:
    """A rank from what the files say and what its engine adds."""
    return Rank(**{**common(cluster, deployment, index, world), **own})
