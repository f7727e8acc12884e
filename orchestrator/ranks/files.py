"""Files of ranks on their hosts: taken away with the rank."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.ranks.build import USER_STATE
from orchestrator.script import Command, Raw, Sh, Value, quote, seq, sh

Word = Value | Raw


def on_host(path: str) -> Word:
    """A path on the host as one word; `~/…` is the home of the user that we are there."""
    if path == "~":
        return Raw(sh('"$HOME"'))
    return Raw(sh('"$HOME"/{}', path[2:])) if path.startswith("~/") else path


def words(parts: Iterable[Word]) -> Sh:
    """One command line, each word quoted unless it is shell made by `sh`."""
    return Sh(" ".join(one.piece if isinstance(one, Raw) else quote(one) for one in parts))


def rank_folder(state: str, name: str) -> str:
    return f"{state}/ranks/{name}"


def remove_files(state: str, names: Iterable[str]) -> Command:
    """Only folders that orch made for these ranks; one that holds something else stays."""
    lines = [sh("rm -rf {}", on_host(rank_folder(state, name))) for name in names]
    return Command(seq(lines) if lines else sh("true"), sudo=not state.startswith(USER_STATE[:2]))
