"""What every engine's deployments can be told offline: no image, a mount that can't be, flags of orch's own."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.facts.engine_words import program
from orchestrator.flags import flags
from orchestrator.ranks.arguments import name_of
from orchestrator.ranks.build import container_hosts
from orchestrator.ranks.context import context
from orchestrator.ranks.patched import patch_findings
from orchestrator.ranks.process_rules import process_findings
from orchestrator.runtimes import runtimes
from orchestrator.spec.models import Build, Cluster, Deployment, Finding, Profile


def said(deployment: Deployment, path: str, message: str, suggestion: str = "") -> Finding:
    """A finding about a deployment."""
    where = f"deployments.{deployment.name}.{path}"
    return Finding(message=message, path=where, suggestion=suggestion)


def common_findings(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    if not deployment.profile.model:
        name = deployment.profile.name
        yield said(deployment, "profile", f"profile {name} names no model")
    yield from image_findings(cluster, deployment)


def image_findings(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    """The same of what needs no model."""
    yield from _required(cluster, deployment)
    yield from _runtimes(cluster, deployment)
    yield from _mounts(deployment)
    yield from process_findings(cluster, deployment)
    yield from patch_findings(cluster, deployment)


def _required(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    profile = deployment.profile
    if profile.build is not None:
        yield from _build(profile, profile.build)
    elif not profile.image and container_hosts(cluster, deployment):
        yield said(deployment, "profile", f"profile {profile.name} names no image")


def _build(profile: Profile, build: Build) -> Iterator[Finding]:
    """Without what it is made of, an image that is built has not even a name."""
    where = f"profiles.{profile.name}.build"
    if profile.image:
        yield Finding(
            message=f"both `build:` and `image: {profile.image}` are said",
            path=where,
            suggestion="take one out; `image: null` takes away what `extends:` brings",
        )
    key, why, instead = context(build).wrong
    if key:
        yield Finding(message=why, path=f"{where}.{key}", suggestion=instead)


def _runtimes(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    for host in deployment.hosts:
        runtime = program(cluster.hosts[host].runtime)
        if runtime not in runtimes():
            known = ", ".join(runtimes())
            yield said(deployment, "hosts", f"{host}: runtime {runtime} is not there yet", known)
        if runtime == "podman" and cluster.hosts[host].become_password is not None:
            found = said(
                deployment,
                "hosts",
                f"{host}: root's podman is called by a sudo that asks for nothing: become_password is not used for it",
                "a line `USER ALL=(root) NOPASSWD: /usr/bin/podman` for sudo, or become: never",
            )
            yield found.model_copy(update={"severity": "warning"})


def _mounts(deployment: Deployment) -> Iterator[Finding]:
    for number, entry in enumerate(deployment.profile.mounts):
        source = entry.from_
        if source.startswith(".") and not entry.sync:
            yield said(
                deployment,
                f"mounts.{number}.from",
                f"{source} is relative to your files, not a path on the hosts",
                "add sync: true, or give an absolute path",
            )
        if ":" in source or ":" in entry.to or not entry.to.startswith("/"):
            yield said(deployment, f"mounts.{number}", f"{source} to {entry.to} can't be mounted")


def uneven(deployment: Deployment, what: str, count: int) -> Iterator[Finding]:
    """Ranks that would not be as many on each host."""
    hosts = len(deployment.hosts)
    if count % hosts:
        yield said(deployment, "parallel", f"{what} can't be spread evenly over {hosts} hosts")


def unspread(deployment: Deployment) -> Iterator[Finding]:
    """The same of tensor and pipeline alone."""
    sizes = deployment.parallel
    what = f"tensor {sizes.tensor} x pipeline {sizes.pipeline}"
    yield from uneven(deployment, what, sizes.tensor * sizes.pipeline)


def falls_whole(deployment: Deployment, gang: str) -> Iterator[Finding]:
    """Over hosts, its entrypoints can't bring a rank back into the gang."""
    if deployment.supervision == "entrypoint" and len(deployment.hosts) > 1:
        why = f"{gang} can't take one rank back by itself"
        yield said(deployment, "supervision", why, "supervision: none")


def owned(deployment: Deployment, engine: str) -> Iterator[Finding]:
    """Flags that come from the files' own keys."""
    table = flags(engine)["owned"]
    for key in deployment.profile.args:
        name = name_of(key)
        if name in table:
            key_of_files = table[name]
            yield said(
                deployment,
                f"args.{key}",
                f"orch sets {key} itself",
                f"say it with `{key_of_files}:`",
            )
