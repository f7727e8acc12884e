"""What tests of `orch import` share: a text taken, written, loaded again by orch's own loader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.spec.models import Cluster, Finding
from orchestrator.spec.resolve import load
from orchestrator.take.files import Files, Place, Wish, files_of
from orchestrator.take.model import Taken
from orchestrator.take.sources import source_of, take

SPARKS = """version: 1
defaults: {kind: dgx-spark}
hosts: {s1: {address: 10.9.9.1}, s2: {address: 10.9.9.2}, s3: {address: 10.9.9.3}, s4: {address: 10.9.9.4}}
links: [{switch: sw, ports: [s1.p0, s2.p0, s3.p0, s4.p0]}]
"""
PLACES = tuple(Place(f"s{number}", 1) for number in range(1, 5))


@dataclass
class Result:
    """Texts, what was left, and what `orch check` makes of them."""

    taken: Taken
    files: Files
    cluster: Cluster
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> list[str]:
        return [one.message for one in self.findings if one.severity == "error"]

    @property
    def left(self) -> list[str]:
        return [str(one) for one in self.taken.left]

    @property
    def profile(self) -> dict[str, Any]:
        (path,) = [path for path in self.files.texts if path.startswith("profiles/")]
        return dict(yaml.safe_load(self.files.texts[path]))

    @property
    def document(self) -> dict[str, Any]:
        return dict(yaml.safe_load(self.files.texts["cluster.yaml"]))

    @property
    def deployment(self) -> dict[str, Any]:
        (one,) = self.document["deployments"].values()
        return dict(one)


def taken(text: str, name: str = "my-model.yaml", form: str | None = None) -> Taken:
    return take(source_of(name, text, "/srv/desk"), form)


def result(
    folder: Path, text: str, name: str = "my-model.yaml", hosts: tuple[str, ...] = ()
) -> Result:
    """As the command line does it: written into a folder with an inventory, and checked."""
    one = taken(text, name)
    made = files_of({name: one}, Wish(hosts=hosts, places=PLACES))
    for path, written in {"inventory.yaml": SPARKS, **made.texts}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(written, encoding="utf-8")
    loaded = load(folder / "cluster.yaml")
    return Result(one, made, loaded.cluster, loaded.findings)
