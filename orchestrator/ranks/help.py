"""Which `--help` arguments are held to: of the program that the head calls, as the head would call it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from orchestrator.contracts import Mount
from orchestrator.facts.help import Help, ReadHelp, ReadHostHelp
from orchestrator.ranks.build import PROCESS, folders, mounts
from orchestrator.ranks.context import image_of
from orchestrator.spec.models import Cluster, Deployment


def help_of(cluster: Cluster, deployment: Deployment, host: str, program: Sequence[str]) -> Help:
    """The question to a host; another environment, mount, folder or program is another question."""
    profile, runtime = deployment.profile, cluster.hosts[host].runtime
    env = (sorted(profile.env.items()), sorted(profile.env_by_host.get(host, {}).items()))
    if runtime == PROCESS:
        places = folders(cluster, deployment, host)
        mark = _mark(sorted(places.items()), env, tuple(program))
        return ReadHostHelp(program[0], mark, places.get("PATH", ()))
    seen = mounts(cluster, deployment, host)
    mark = _mark(seen, env, tuple(program))
    return ReadHelp(runtime, image_of(deployment), mark, _on_host(program[0], seen))


def _mark(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _on_host(program: str, seen: Iterable[Mount]) -> str:
    """Where a program that is mounted lies on the host: built anew, it may take other arguments."""
    path = PurePosixPath(program)
    for mount in seen:
        if path.is_absolute() and path.is_relative_to(mount.target) and "/" in mount.source:
            rest = path.relative_to(mount.target)
            return str(PurePosixPath(mount.source) / rest)
    return ""
