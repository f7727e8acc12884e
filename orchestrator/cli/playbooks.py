"""Finds playbooks, a user's own before the packed ones, and hooks others in where cluster.yaml says so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.data import find
from orchestrator.errors import FilesWrong
from orchestrator.spec.load import load_file
from orchestrator.spec.models import Cluster
from orchestrator.spec.playbook import PlaybookFile, hooked


def load_playbook(name: str, root: Path) -> PlaybookFile:
    """A playbook by name ("up") or path ("mine.yaml", relative to the cluster's folder)."""
    path = root / name
    if not (name.endswith((".yaml", ".yml")) and path.is_file()):
        path = find("playbooks", name if name.endswith(".yaml") else f"{name}.yaml", root)
    return load_file(path, PlaybookFile)


def cluster_playbook(cluster: Cluster, name: str) -> PlaybookFile:
    """The named playbook with the cluster's hooks in it."""
    playbook = load_playbook(name, cluster.root)
    known = {entry.id for entry in playbook.stages}
    for stage in (*cluster.hooks.before, *cluster.hooks.after):
        if name == "up" and stage not in known:
            raise FilesWrong(
                f"hooks: there is no stage {stage!r} in the playbook {name!r}",
                hint=f"stages: {', '.join(entry.id for entry in playbook.stages)}",
            )
    if name != "up":
        return playbook
    before = {
        k: [load_playbook(one, cluster.root) for one in v] for k, v in cluster.hooks.before.items()
    }
    after = {
        k: [load_playbook(one, cluster.root) for one in v] for k, v in cluster.hooks.after.items()
    }
    return hooked(playbook, before, after)


def with_options(playbook: PlaybookFile, options: Mapping[str, Mapping[str, Any]]) -> PlaybookFile:
    """The playbook with what the command line says put over the `with:` of its stages."""
    stages = tuple(
        entry.model_copy(update={"with_": {**entry.with_, **options[entry.stage]}})
        if entry.stage is not None and entry.stage in options
        else entry
        for entry in playbook.stages
    )
    return playbook.model_copy(update={"stages": stages})
