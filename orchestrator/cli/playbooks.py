"""Finds playbooks, a user's own before the packed ones, and hooks others in where cluster.yaml says so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import FilesWrong
from orchestrator.plan.words import wrong_words
from orchestrator.run.retry import POLICIES
from orchestrator.spec.hooks import playbook_path
from orchestrator.spec.load import Files, load_file
from orchestrator.spec.models import Cluster
from orchestrator.spec.playbook import PlaybookFile, hooked


def load_playbook(name: str, root: Path) -> PlaybookFile:
    """A playbook by name ("up") or path ("mine.yaml", relative to the cluster's folder)."""
    return load_file(playbook_path(name, root), PlaybookFile)


def cluster_playbook(cluster: Cluster, name: str) -> PlaybookFile:
    """The named playbook with the cluster's hooks in it; all that is wrong in any of them at once."""
    files = Files(cluster.root)
    book = _read(files, name, cluster)
    hooked_in = [
        {
            stage: [one for name in names if (one := _read(files, name, cluster)) is not None]
            for stage, names in hooks.items()
        }
        for hooks in ((cluster.hooks.before, cluster.hooks.after) if name == "up" else ())
    ]
    files.raise_errors()
    if book is None:
        raise FilesWrong(f"the playbook {name!r} can't be read")
    return hooked(book, *hooked_in) if hooked_in else book


def _read(files: Files, name: str, cluster: Cluster) -> PlaybookFile | None:
    path = playbook_path(name, cluster.root)
    node = files.read(path)
    if node is None:
        return None
    document = files.check(path, node, PlaybookFile)
    if document.model is not None:
        for at, message, hint in wrong_words(document.model, cluster, POLICIES):
            files.add(document, at, message, hint)
    return document.model


def with_options(playbook: PlaybookFile, options: Mapping[str, Mapping[str, Any]]) -> PlaybookFile:
    """The playbook with what the command line says put over the `with:` of its stages."""
    stages = tuple(
        entry.model_copy(update={"with_": {**entry.with_, **options[entry.stage]}})
        if entry.stage is not None and entry.stage in options
        else entry
        for entry in playbook.stages
    )
    return playbook.model_copy(update={"stages": stages})
