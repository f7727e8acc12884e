"""What every engine's deployments can be told offline: no image, a mount that can't be, flags of orch's own."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.flags import flags
from orchestrator.ranks.arguments import name_of
from orchestrator.ranks.context import context
from orchestrator.ranks.patched import patch_findings
from orchestrator.runtimes import runtimes
from orchestrator.spec.models import Build, Cluster, Deployment, Finding, Profile


def said(deployment: Deployment, path: str, message: str, suggestion: str = "") -> Finding:
    """A finding about a deployment."""
    where = f"deployments.{deployment.name}.{path}"
    return Finding(message=message, path=where, suggestion=suggestion)


def common_findings(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    yield from _required(deployment)
    yield from _runtimes(cluster, deployment)
    yield from _mounts(deployment)
    yield from patch_findings(cluster, deployment)
    yield from _not_yet(deployment)


NOT_YET = {
    "venv": "name the programs in `commands:`",
    "cuda_home": "set CUDA_HOME in `env:`",
}


def _not_yet(deployment: Deployment) -> Iterator[Finding]:
    """Keys of a profile that are read and that nothing acts on: said, not silently dropped."""
    for key, instead in NOT_YET.items():
        if getattr(deployment.profile, key):
            found = said(deployment, "profile", f"`{key}:` is not applied yet", instead)
            yield found.model_copy(update={"severity": "warning"})


def _required(deployment: Deployment) -> Iterator[Finding]:
    profile = deployment.profile
    if not profile.model:
        yield said(deployment, "profile", f"profile {profile.name} names no model")
    if profile.build is not None:
        yield from _build(profile, profile.build)
    elif not profile.image:
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
        runtime = cluster.hosts[host].runtime
        if runtime not in runtimes():
            known = ", ".join(runtimes())
            yield said(deployment, "hosts", f"{host}: runtime {runtime} is not there yet", known)


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
