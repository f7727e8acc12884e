"""The rehearsal's files in a folder beside the lab's own inventory, with the user's playbooks and templates."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from orchestrator.data import packed
from orchestrator.lab.rehearse import Rehearsal

KEPT = ("playbooks", "templates")  # what says in which order, and how
HEADER = "# written by `orch rehearse` from {source}: what it makes of it for hosts without a GPU\n"


def write(made: Rehearsal, source: Path, root: Path, folder: Path) -> Path:
    """Write all anew and return the cluster file; the lab's inventory is there already."""
    for name in ("profiles", *KEPT):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name, profile in made.profiles.items():
        _write(folder / "profiles" / f"{name}.yaml", profile, source)
    for name in KEPT:
        own = root / name
        if own.is_dir() and own.resolve() != packed(name):
            shutil.copytree(own, folder / name)
    return _write(folder / "cluster.yaml", made.cluster, source)


def _write(path: Path, content: Mapping[str, Any], source: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(dict(content), sort_keys=False, default_flow_style=None, width=110)
    path.write_text(HEADER.format(source=source) + text, encoding="utf-8")
    return path
