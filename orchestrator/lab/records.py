"""What this machine remembers of its labs: one record each, beside what docker's labels say."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from orchestrator.lab.command import remove_tree
from orchestrator.lab.home import Home
from orchestrator.lab.layout import Layout, from_json
from orchestrator.lab.recipe import ENGINES

MadeOf = Literal["container", "vm"]


@dataclass
class Record:
    """A lab: its layout, where its files went, which faults are in it, whether it came up."""

    layout: Layout
    folder: Path
    own_engine: bool  # in the docker engine that we started, not in this machine's own
    made_of: MadeOf = "container"
    complete: bool = False
    engines: tuple[str, ...] = ENGINES
    release: str = ""  # of the hosts; empty: not known (records of before, virtual machines)
    faults: dict[str, list[str]] = field(default_factory=dict)  # host: what is broken

    def as_json(self) -> dict[str, Any]:
        return {
            "layout": self.layout.as_json(),
            "folder": str(self.folder),
            "own_engine": self.own_engine,
            "made_of": self.made_of,
            "complete": self.complete,
            "engines": list(self.engines),
            "release": self.release,
            "faults": self.faults,
        }


def path_of(home: Home, name: str) -> Path:
    return home.path / "labs" / name / "lab.json"


def save(home: Home, record: Record) -> None:
    path = path_of(home, record.layout.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(record.as_json(), indent=1))
    fresh.replace(path)


def load(home: Home, name: str) -> Record | None:
    """The record of a lab, or None; one that can't be read counts as none: labels find the rest."""
    try:
        data = json.loads(path_of(home, name).read_text())
        return Record(
            from_json(data["layout"]),
            Path(data["folder"]),
            data.get("own_engine", True),
            data.get("made_of", "container"),
            data["complete"],
            tuple(data.get("engines", ENGINES)),
            data.get("release", ""),
            data["faults"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget(home: Home, name: str) -> None:
    folder = path_of(home, name).parent
    if folder.exists():
        remove_tree(folder)


def reserve(home: Home, name: str) -> None:
    """Say that a lab is being made, so that nobody stops the engine that it will be made in."""
    path_of(home, name).parent.mkdir(parents=True, exist_ok=True)


def names(home: Home) -> list[str]:
    return sorted(folder.name for folder in (home.path / "labs").iterdir() if folder.is_dir())
