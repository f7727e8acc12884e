"""What can be known to be wrong before any host is asked: sizes, heads, flags that contradict the files."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.engines.vllm.flags import name_of
from orchestrator.engines.vllm.ports import executor, listening, ray_ports
from orchestrator.flags import flags
from orchestrator.ranks.build import gpu_count
from orchestrator.spec.models import Cluster, Deployment, Finding


def findings(cluster: Cluster, deployment: Deployment) -> tuple[Finding, ...]:
    rules = (_required, _sizes, _heads, _owned, _executor, _ports, _mounts)
    return tuple(found for rule in rules for found in rule(cluster, deployment))


def _said(deployment: Deployment, path: str, message: str, suggestion: str = "") -> Finding:
    return Finding(
        message=message, path=f"deployments.{deployment.name}.{path}", suggestion=suggestion
    )


def _required(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    if not deployment.profile.model:
        yield _said(deployment, "profile", f"profile {deployment.profile.name} names no model")
    if deployment.profile.build is not None:
        yield _said(
            deployment, "profile", "`build:` is not there yet", "build the image and name it"
        )
    elif not deployment.profile.image:
        yield _said(deployment, "profile", f"profile {deployment.profile.name} names no image")


def _sizes(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    sizes = deployment.parallel
    need = sizes.tensor * sizes.pipeline * sizes.data
    counts = [gpu_count(cluster, deployment, host) for host in deployment.hosts]
    known = [count for count in counts if count is not None]
    hosts = len(deployment.hosts)
    word = f"tensor {sizes.tensor} x pipeline {sizes.pipeline} x data {sizes.data} = {need}"
    if len(known) == hosts and need > sum(known):
        yield _said(
            deployment,
            "parallel",
            f"{word} needs {need} GPUs, {', '.join(deployment.hosts)} have {sum(known)}",
        )
    elif need < hosts:
        yield _said(
            deployment,
            "parallel",
            f"{word} would leave {hosts - need} of {hosts} hosts without work",
            f"set parallel.tensor or parallel.pipeline to {hosts}, or list fewer hosts",
        )
    elif executor(deployment) == "native" and need % hosts:
        yield _said(deployment, "parallel", f"{word} can't be spread evenly over {hosts} hosts")


def _heads(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    heads, tensor = deployment.profile.heads, deployment.parallel.tensor
    if heads is not None and heads % tensor:
        fit = [size for size in range(1, heads + 1) if heads % size == 0 and size < tensor]
        yield _said(
            deployment,
            "parallel.tensor",
            f"the model's {heads} attention heads can't be divided by {tensor}",
            f"{fit[-1]} can; or parallel.pipeline: {tensor}" if fit else "",
        )


def _owned(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    owned = flags("vllm")["owned"]
    for key in deployment.profile.args:
        if name_of(key) in owned:
            yield _said(
                deployment,
                f"args.{key}",
                f"orch sets --{name_of(key)} itself",
                f"say it with `{owned[name_of(key)]}:`",
            )


def _executor(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    kind, several = executor(deployment), len(deployment.hosts) > 1
    sizes = deployment.parallel
    if kind == "mp" and several:
        yield _said(
            deployment, "profile", "executor mp is for one host", "executor: ray, or native"
        )
    if kind == "ray" and sizes.data > 1:
        yield _said(
            deployment, "parallel.data", "data parallel over Ray is not there", "executor: native"
        )
    if kind == "native" and several:
        yield from _native(cluster, deployment)


def _native(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    sizes = deployment.parallel
    if sizes.data > 1 and sizes.data % len(deployment.hosts):
        yield _said(
            deployment,
            "parallel.data",
            f"{sizes.data} replicas can't be spread evenly over {len(deployment.hosts)} hosts",
            "tensor and pipeline parallel stay inside a host when data is above 1",
        )
    if deployment.supervision == "entrypoint":
        yield _said(
            deployment,
            "supervision",
            "a native gang over hosts can't take one rank back by itself",
            "supervision: none",
        )


def _ports(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    """Ray's ports against the APIs and the Ray ports of everything else on the same hosts."""
    if executor(deployment) != "ray":
        return
    pinned = ray_ports(cluster, deployment)
    low, high = pinned["min-worker-port"], pinned["max-worker-port"]
    mine = {port for i in range(len(deployment.hosts)) for port in listening(cluster, deployment, i)}
    mine.discard(deployment.port)
    for other in cluster.deployments.values():
        if set(other.hosts) & set(deployment.hosts):
            port = other.port
            if port in mine or low <= port <= high:
                yield _said(
                    deployment,
                    "port",
                    f"port {port} of {other.name} is one of the Ray ports of {deployment.name}",
                    "take another port, or set `ray:` ports in the profile",
                )


def _mounts(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    for number, entry in enumerate(deployment.profile.mounts):
        source = entry.from_
        if source.startswith(".") and not entry.sync:
            yield _said(
                deployment,
                f"mounts.{number}.from",
                f"{source} is relative to your files, not a path on the hosts",
                "add sync: true, or give an absolute path",
            )
        if ":" in source or ":" in entry.to or not entry.to.startswith("/"):
            yield _said(
                deployment, f"mounts.{number}", f"{source} to {entry.to} is no mount for docker"
            )
