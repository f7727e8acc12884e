"""Where things lie on a host: what orch keeps there, and what a rank sees under another path."""

from __future__ import annotations

from orchestrator.facts.process_folder import RUNTIME as PROCESS
from orchestrator.spec.models import Deployment, Host

__all__ = ["PROCESS", "ROOT_STATE", "USER_STATE", "state_folder", "unmounted"]

ROOT_STATE = "/var/lib/orch"
USER_STATE = "~/.local/state/orch"


def state_folder(host: Host) -> str:
    """Where a host keeps files of ours: root's, or the user's where there is no sudo."""
    return ROOT_STATE if host.become == "sudo" and host.runtime != PROCESS else USER_STATE


def unmounted(deployment: Deployment, path: str) -> str:
    """The path on the host of a path in the container."""
    for entry in deployment.profile.mounts:
        below = entry.to.rstrip("/") + "/"
        if not entry.sync and (path + "/").startswith(below):
            return entry.from_.rstrip("/") + "/" + path[len(below) :]
    return path
