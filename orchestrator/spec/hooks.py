"""Where playbooks lie, and whether what cluster.yaml hooks into `up` is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from orchestrator.data import find
from orchestrator.errors import FilesWrong
from orchestrator.meant import did_you_mean
from orchestrator.spec.load import is_there, load_file
from orchestrator.spec.models import Finding, Hooks
from orchestrator.spec.playbook import PlaybookFile


def playbook_path(name: str, root: Path) -> Path:
    """A playbook by name ("up") or path ("mine.yaml", relative to the cluster's folder)."""
    path = root / name
    if name.endswith((".yaml", ".yml")) and is_there(path):
        return path
    return find("playbooks", name if name.endswith(".yaml") else f"{name}.yaml", root)


def hook_findings(hooks: Hooks, root: Path) -> Iterator[Finding]:
    """Stages that `up` has not got, and playbooks that are nowhere, by their paths in cluster.yaml."""
    if not hooks.before and not hooks.after:
        return
    try:
        stages = [entry.id for entry in load_file(playbook_path("up", root), PlaybookFile).stages]
    except FilesWrong:
        return  # told where the playbook itself is read
    for when, hooked in (("before", hooks.before), ("after", hooks.after)):
        for stage, books in hooked.items():
            at = f"hooks.{when}.{stage}"
            if stage not in stages:
                message = f"there is no stage {stage[:60]!r} in the playbook 'up'"
                yield Finding(message=message, suggestion=did_you_mean(stage, stages), path=at)
            for index, name in enumerate(books):
                try:
                    playbook_path(name, root)
                except FilesWrong as wrong:
                    place = f"{at}.{index}"
                    yield Finding(message=str(wrong), suggestion=wrong.hint, path=place)
