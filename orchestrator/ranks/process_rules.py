"""What a profile says for containers and a process can't have: refused where it would not run, told where it would."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.ranks.build import PROCESS
from orchestrator.spec.models import Cluster, Deployment, Finding

CACHE = "~/.cache/"  # a process of this user looks there by itself
PROCESS_ONLY = ("venv", "cuda_home", "library_paths")


def process_findings(cluster: Cluster, deployment: Deployment) -> Iterator[Finding]:
    """For a deployment with a host of `runtime: process`; and keys that only mean something there."""
    hosts = [one for one in deployment.hosts if cluster.hosts[one].runtime == PROCESS]
    if not hosts:
        yield from _not_here(deployment)
        return
    where = ", ".join(dict.fromkeys(hosts))
    yield from _mounts(deployment, where)
    profile = deployment.profile
    if profile.packages:
        yield _found(
            deployment,
            "packages",
            f"nothing is installed on {where}, which runs processes",
            f"on {where}: {profile.venv or 'VENV'}/bin/pip install {' '.join(profile.packages)};"
            " and take `packages:` out",
        )
    limits = deployment.limits
    if limits.memory or limits.memory_swap or limits.cpus:
        path, what = f"deployments.{deployment.origin or deployment.name}.limits", "not enforced"
        yield Finding(
            severity="warning", path=path, message=f"`limits:` are {what} for processes ({where})"
        )
    for key in ("tmpfs", "caches"):
        if getattr(profile, key):
            told = f"`{key}:` is for containers; on {where} a process has the host's own folders"
            yield _found(deployment, key, told).model_copy(update={"severity": "warning"})


def _mounts(deployment: Deployment, where: str) -> Iterator[Finding]:
    """A process sees the host as it is: only a path that is the same inside and outside is there."""
    for number, entry in enumerate(deployment.profile.mounts):
        if entry.sync or (entry.from_ != entry.to and not entry.from_.startswith(CACHE)):
            yield _found(
                deployment,
                f"mounts.{number}",
                f"{entry.from_} can't be at {entry.to} on {where}, which runs processes",
                "name the path of the host itself, and no mount; or a container `runtime:`",
            )


def _not_here(deployment: Deployment) -> Iterator[Finding]:
    for key in PROCESS_ONLY:
        if getattr(deployment.profile, key):
            told = f"`{key}:` is for hosts with `runtime: process`; a container brings its own"
            yield _found(deployment, key, told).model_copy(update={"severity": "warning"})


def _found(deployment: Deployment, key: str, message: str, suggestion: str = "") -> Finding:
    path = f"profiles.{deployment.profile.name}.{key}"
    return Finding(message=message, path=path, suggestion=suggestion)
