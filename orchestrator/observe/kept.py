"""Logs of ranks that are gone: what a failed start left as evidence, for who asks for its logs afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.observe.logs import Line, Source, merged, split

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Kept:
    """One deployment's evidence of one run."""

    folder: Path
    lines: tuple[Line, ...]


def last_kept(evidence: Path, cluster: str, deployment: str, most: int) -> Kept | None:
    """The newest evidence of a deployment, at most `most` lines of each rank; None where there is none."""
    # the names of runs sort by time
    for folder in sorted(evidence.glob(f"*/{deployment}"), reverse=True):
        if _cluster(folder) == cluster:
            return Kept(folder, tuple(merged(_lines(folder, deployment, most))))
    return None


def _cluster(folder: Path) -> str | None:
    try:
        found = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        return str(found["cluster"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _lines(folder: Path, deployment: str, most: int) -> Iterator[Line]:
    for path in sorted(folder.glob("*.log")):
        container = path.stem.rpartition(".")[2]  # its name has no dot, the host's may
        host = path.stem.removesuffix(f".{container}")
        source = Source(host, "", container, deployment, container.rpartition("-")[2])
        raw = path.read_text(encoding="utf-8", errors="replace").splitlines()
        yield from (split(source, line) for line in raw[max(0, len(raw) - most) :])
