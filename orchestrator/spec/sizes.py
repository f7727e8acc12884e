"""Whether tensor × pipeline × data fits the GPUs and the model's heads, and what would."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.spec.gpus import used
from orchestrator.spec.models import Cluster, Deployment, Finding

RANKED = frozenset({"vllm", "sglang", "tensorrtllm"})  # engines that start one rank for each GPU


def check(cluster: Cluster) -> Iterator[Finding]:
    """Findings about the parallel sizes of each deployment."""
    for one in cluster.deployments.values():
        if one.profile.engine_key not in RANKED:
            continue
        counts = _gpus_by_host(cluster, one)
        problem = (
            _executor(one) or _world(one, counts) or _spread(one, counts) or _heads(one, counts)
        )
        if problem is not None:
            yield problem.model_copy(
                update={"suggestion": problem.suggestion or _propose(one, counts)}
            )


def _gpus_by_host(cluster: Cluster, one: Deployment) -> list[int] | None:
    """How many GPUs it uses on each host; None where the files don't say."""
    counts = [used(cluster.hosts[name], one) for name in one.hosts]
    known = [len(indices) for indices in counts if indices is not None]
    return known if len(known) == len(counts) else None


def _executor(one: Deployment) -> Finding | None:
    if one.profile.executor != "mp" or len(one.hosts) == 1:
        return None
    return Finding(
        path=f"deployments.{one.name}.profile",
        message=f"its executor mp is for one host, and these are {len(one.hosts)}",
        suggestion=f"a profile of yours: extends: {one.profile.name}, executor: ray or native",
    )


def _world(one: Deployment, counts: list[int] | None) -> Finding | None:
    """The world size is the number of GPUs; on one host with `all`, some may be left over."""
    world = one.parallel.world
    if counts is None:
        if world < len(one.hosts):
            return _wrong(one, f"{_product(one)} for {len(one.hosts)} hosts: one has no rank")
        return None
    total = sum(counts)
    if world > total:
        hold = "holds" if len(one.hosts) == 1 else "hold"
        return _wrong(one, f"{_product(one)} needs {_gpus(world)}; {_places(one)} {hold} {total}")
    if world < total and (len(one.hosts) > 1 or one.gpus != "all"):
        return _wrong(one, f"{_product(one)} leaves {_gpus(total - world)} of {total} unused")
    return None


def _spread(one: Deployment, counts: list[int] | None) -> Finding | None:
    """A tensor group lies within hosts, or covers whole hosts."""
    tensor, hosts = one.parallel.tensor, len(one.hosts)
    if counts is None or hosts == 1 or len(set(counts)) > 1:
        return None
    each = counts[0]
    if each and (each % tensor == 0 or (tensor % each == 0 and hosts % (tensor // each) == 0)):
        return None
    return _wrong(one, f"tensor {tensor} does not divide {hosts} hosts with {_gpus(each)} each")


def _heads(one: Deployment, counts: list[int] | None) -> Finding | None:
    heads, tensor = one.profile.heads, one.parallel.tensor
    width = one.profile.intermediate_size
    if heads is not None and heads % tensor:
        fit = max(size for size in range(1, tensor) if heads % size == 0)
        instead = _propose(one, counts) or f"tensor: {fit}, or pipeline: {tensor}"
        found = _wrong(one, f"the model's {heads} attention heads can't be divided by {tensor}")
        return found.model_copy(update={"suggestion": instead})
    if width is not None and width % tensor:
        return _wrong(one, f"the model's intermediate size, {width}, can't be divided by {tensor}")
    if heads is None and width is None and tensor & (tensor - 1):
        found = _wrong(one, f"few models have heads that can be divided by {tensor}")
        return found.model_copy(update={"severity": "warning"})
    return None


def _propose(one: Deployment, counts: list[int] | None) -> str:
    """The largest tensor size that every rule allows, the rest as pipeline."""
    if not counts or len(set(counts)) > 1 or not counts[0]:
        return ""
    each, hosts = counts[0], len(counts)
    total = each * hosts
    known = [size for size in (one.profile.heads, one.profile.intermediate_size) if size]
    for tensor in range(total, 0, -1):
        whole = each % tensor == 0 or (tensor % each == 0 and hosts % (tensor // each) == 0)
        divides = not any(size % tensor for size in known)
        divides = divides if known else tensor & (tensor - 1) == 0
        if total % tensor == 0 and whole and divides:
            pipeline = total // tensor
            if pipeline == 1:
                return f"parallel: {{tensor: {tensor}}}"
            if tensor == 1:
                return f"parallel: {{pipeline: {pipeline}}}"
            return f"parallel: {{tensor: {tensor}, pipeline: {pipeline}}}"
    return ""


def _product(one: Deployment) -> str:
    parts = [f"tensor {one.parallel.tensor}"]
    parts += [f"pipeline {one.parallel.pipeline}"] if one.parallel.pipeline > 1 else []
    parts += [f"data {one.parallel.data}"] if one.parallel.data > 1 else []
    return " × ".join(parts)


def _places(one: Deployment) -> str:
    names = ", ".join(one.hosts[:6])
    return names + (", …" if len(one.hosts) > 6 else "")


def _gpus(count: int) -> str:
    return f"{count} GPU{'' if count == 1 else 's'}"


def _wrong(one: Deployment, message: str) -> Finding:
    return Finding(path=f"deployments.{one.origin}.parallel", message=message)
