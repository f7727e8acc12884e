"""Who uses which GPU: sharing is said, never assumed, and the shares must fit."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import combinations

from orchestrator.spec.models import Cluster, Deployment, Finding, Host
from orchestrator.spec.replicas import gpu_indices
from orchestrator.spec.units import parse_size, show_size

ANY = -1  # a GPU of a host whose GPUs are not listed
_FRACTION = ("gpu-memory-utilization", "gpu_memory_utilization", "mem-fraction-static")

Users = Mapping[tuple[str, int], list[Deployment]]


def used(host: Host, deployment: Deployment) -> tuple[int, ...] | None:
    """Indices of the GPUs that a deployment takes on a host; None: all that there are."""
    if isinstance(deployment.gpus, tuple):
        return tuple(dict.fromkeys(deployment.gpus))
    listed = gpu_indices(host)
    if deployment.gpus == "all":
        return listed
    count = int(deployment.gpus)
    return tuple(range(count)) if listed is None else listed[:count]


def conflicts(cluster: Cluster) -> Iterator[Finding]:
    """Two deployments on one GPU where neither said that it shares; GPUs that a host has not."""
    yield from _absent(cluster)
    seen: set[tuple[str, str]] = set()
    for (host, index), users in _users(cluster).items():
        for first, second in combinations(users, 2):
            pair = (first.origin, second.origin)
            if _may_share(first, second) or pair in seen:
                continue
            seen.add(pair)
            which = "the GPUs" if index == ANY else f"GPU {index}"
            yield Finding(
                path=f"deployments.{second.origin}",
                message=f"{first.name} and {second.name} both use {which} of {host}",
                suggestion="say share_gpu: true, or name different gpus",
            )


def memory(cluster: Cluster) -> Iterator[Finding]:
    """Shares of one GPU that do not fit, or are not stated where they must be."""
    unstated: set[str] = set()
    for (host, index), users in _users(cluster).items():
        total, reserve = _capacity(cluster.hosts[host], index)
        for one in users:
            shares = one.share_gpu and len(users) > 1
            if shares and _takes_a_fixed_part(one) and one.origin not in unstated:
                unstated.add(one.origin)
                yield Finding(
                    path=f"deployments.{one.origin}.share_gpu",
                    message=f"{one.name} shares GPU {index} of {host} and does not say how much",
                    suggestion="say memory: 8GiB, or args: {gpu-memory-utilization: 0.3}",
                )
        yield from _sum(host, index, users, total, reserve)


def _sum(
    host: str, index: int, users: list[Deployment], total: int | None, reserve: int
) -> Iterator[Finding]:
    fractions = {one.name: _fraction(one, total) for one in users}
    known = {name: part for name, part in fractions.items() if part is not None}
    kept = reserve / total if total else 0.0
    if sum(known.values()) + kept <= 1.0 + 1e-9:
        return
    parts = ", ".join(f"{name} {part:.0%}" for name, part in known.items())
    size = f" into {show_size(total)}" if total else ""
    held = f", {show_size(reserve)} in reserve" if reserve else ""
    key = "memory" if users[-1].memory_bytes is not None else "share_gpu"
    yield Finding(
        path=f"deployments.{users[-1].origin}.{key}",
        message=f"the shares of GPU {index} of {host} do not fit{size}: {parts}{held}",
        suggestion="lower a share, or place one elsewhere",
    )


def _fraction(one: Deployment, total: int | None) -> float | None:
    """The part of a GPU that a deployment says it takes."""
    if one.memory_bytes is not None:
        return one.memory_bytes / total if total else None
    return _utilization(one)


def _utilization(one: Deployment) -> float | None:
    for key in _FRACTION:
        value = one.profile.args.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None


def share(cluster: Cluster, one: Deployment) -> float | None:
    """`memory:` as the part of a GPU that an engine can be told, rounded down; None where not known."""
    if one.memory_bytes is None:
        return None
    parts = []
    for name in one.hosts:
        host = cluster.hosts[name]
        for index in used(host, one) or (ANY,):
            total, _ = _capacity(host, index)
            if not total:
                return None
            parts.append(one.memory_bytes / total)
    return math.floor(min(parts) * 10_000) / 10_000


def _takes_a_fixed_part(one: Deployment) -> bool:
    """vLLM reserves most of a GPU unless told; others take what they need."""
    stated = one.memory_bytes is not None or _utilization(one) is not None
    return one.profile.engine_key == "vllm" and not stated


def _capacity(host: Host, index: int) -> tuple[int | None, int]:
    """Memory of a GPU and what is kept free of it, in bytes."""
    for gpu in host.gpus or ():
        if gpu.index == index:
            own = gpu.memory if gpu.memory is not None else host.kind.gpu_memory
            reserve = parse_size(gpu.reserve) if gpu.reserve is not None else 0
            return (None if own is None else parse_size(own)), reserve
    kind = host.kind.gpu_memory
    return (None if kind is None else parse_size(kind)), 0


def _users(cluster: Cluster) -> Users:
    """Deployments by GPU, in the order of the file."""
    users: dict[tuple[str, int], list[Deployment]] = defaultdict(list)
    whole: dict[str, list[Deployment]] = defaultdict(list)
    for one in cluster.deployments.values():
        for name in one.hosts:
            indices = used(cluster.hosts[name], one)
            if indices is None:
                whole[name].append(one)
            for index in indices or ():
                users[name, index].append(one)
    for name, everywhere in whole.items():
        on_host = [index for host, index in users if host == name]
        for index in on_host:
            users[name, index].extend(everywhere)
        if not on_host:
            users[name, ANY].extend(everywhere)
    place = {name: number for number, name in enumerate(cluster.deployments)}
    return {gpu: sorted(ones, key=lambda one: place[one.name]) for gpu, ones in users.items()}


def _may_share(first: Deployment, second: Deployment) -> bool:
    if first.share_gpu or second.share_gpu:
        return True
    companions = {first.beside, second.beside} - {None}
    return (
        first.beside == second.name
        or second.beside == first.name
        or (len(companions) == 1 and first.beside == second.beside)
    )


def _absent(cluster: Cluster) -> Iterator[Finding]:
    for one in cluster.deployments.values():
        for name in one.hosts:
            listed = gpu_indices(cluster.hosts[name])
            if isinstance(one.gpus, tuple) and len(set(one.gpus)) < len(one.gpus):
                yield Finding(path=f"deployments.{one.origin}.gpus", message="a GPU is named twice")
            if listed is None or one.gpus == "all":
                continue
            if isinstance(one.gpus, tuple):
                wrong = [str(index) for index in one.gpus if index not in listed]
                if wrong:
                    has = ", ".join(map(str, listed)) or "none"
                    yield Finding(
                        path=f"deployments.{one.origin}.gpus",
                        message=f"{name} has no GPU {', '.join(wrong)}",
                        suggestion=f"it has: {has}",
                    )
            elif isinstance(one.gpus, int) and one.gpus > len(listed):
                yield Finding(
                    path=f"deployments.{one.origin}.gpus",
                    message=f"{one.gpus} GPUs of {name}, which has {len(listed)}",
                )
