"""Which `--help` arguments are held to: of the program that the head calls, in its image, with its mounts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from orchestrator.contracts import Mount
from orchestrator.facts.help import ReadHelp
from orchestrator.ranks.build import mounts
from orchestrator.ranks.context import image_of
from orchestrator.spec.models import Cluster, Deployment


def help_of(
    cluster: Cluster, deployment: Deployment, host: str, program: Sequence[str]
) -> ReadHelp:
    """The question to a host; another environment, mount or program is another question."""
    profile, seen = deployment.profile, mounts(cluster, deployment, host)
    env = (sorted(profile.env.items()), sorted(profile.env_by_host.get(host, {}).items()))
    mark = hashlib.sha256(repr((seen, env, tuple(program))).encode()).hexdigest()[:12]
    runtime = cluster.hosts[host].runtime
    return ReadHelp(runtime, image_of(deployment), mark, _on_host(program[0], seen))


def _on_host(program: str, seen: Iterable[Mount]) -> str:
    """Where a program that is mounted lies on the host: built anew, it may take other arguments."""
    path = PurePosixPath(program)
    for mount in seen:
        if path.is_absolute() and path.is_relative_to(mount.target) and "/" in mount.source:
            rest = path.relative_to(mount.target)
            return str(PurePosixPath(mount.source) / rest)
    return ""
