"""A head's health check, by the runtime: does the engine's own endpoint answer? Shown; it restarts nothing."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.contracts import Rank
from orchestrator.ranks.arguments import name_of
from orchestrator.ranks.entrypoint import FOLDER, verbatim
from orchestrator.script import argv
from orchestrator.spec.models import Cluster, Deployment
from orchestrator.spec.units import parse_duration

HEALTH = f"{FOLDER}/health.sh"
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (what is asked is this container's own)
NOT_PLAIN = ("ssl-", "uds")  # the API is not plain HTTP on its port then


def with_health(
    cluster: Cluster, deployment: Deployment, rank: Rank, python: str, path: str = "/health"
) -> Rank:
    """The head with its check; as long as the model may load, no answer is not a bad one."""
    names = {name_of(key) for key in deployment.profile.args}
    if rank.index or any(name.startswith(NOT_PLAIN) for name in names):
        return rank
    bind = deployment.endpoint.bind or "127.0.0.1"
    line = argv("sh", HEALTH, python, ANYWHERE.get(bind, bind), deployment.port, path)
    return replace(
        rank,
        health=line,
        health_start_s=round(parse_duration(deployment.profile.ready.start)),
        files={**rank.files, HEALTH: verbatim(cluster.root, "health.sh")},
    )
