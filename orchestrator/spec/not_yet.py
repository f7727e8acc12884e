"""Keys that files may have already and that nothing acts on yet: said aloud, so that nobody relies on them."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.spec.models import Cluster, Deployment, Finding

CLUSTER = {
    "notify": "nobody is told",
    "tunnels": "start the tunnel yourself",
}


def check(cluster: Cluster) -> Iterator[Finding]:
    """A warning for each such key that says something."""
    for key, meanwhile in CLUSTER.items():
        if getattr(cluster, key):
            yield _warning(key, key, meanwhile)
    for one in cluster.deployments.values():
        yield from _deployment(one)


def _deployment(one: Deployment) -> Iterator[Finding]:
    where = f"deployments.{one.origin or one.name}"
    if one.supervision == "watch":
        yield _warning(f"{where}.supervision", "supervision: watch", "nobody restarts it")


def _warning(path: str, key: str, meanwhile: str) -> Finding:
    return Finding(
        severity="warning",
        path=path,
        message=f"`{key}` is kept and not acted on yet",
        suggestion=meanwhile,
    )
