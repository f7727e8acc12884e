"""A file's text as a source: YAML or JSON where it is one, with what its parser left out named."""

from __future__ import annotations

import json
from typing import Any

from orchestrator.errors import FilesWrong
from orchestrator.spec import tree
from orchestrator.take.formats import format_of
from orchestrator.take.model import Left, Source, Taken


def source_of(name: str, text: str, folder: str) -> Source:
    """The text with its data; no data where it is no YAML."""
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return Source(name, text, folder, _bounded(json.loads(text)))
        except (ValueError, RecursionError):
            pass  # YAML's flow form starts so too, and INI
    node, findings = tree.parse(text.removeprefix("---\n"), name)
    left = tuple(Left(f"line {one.line}", "", one.message) for one in findings)
    if node is None or (node.entries is None and node.items is None):
        return Source(name, text, folder, None, left)
    return Source(name, text, folder, node.data(), left)


def _bounded(data: Any) -> Any:
    """JSON that is nested deeper than our files may be is no file of anybody's."""
    todo, depth = [data], 0
    while todo:
        depth += 1
        if depth > tree.MAX_DEPTH:
            raise ValueError("nested too deep")
        below: list[Any] = []
        for one in todo:
            below += (
                list(one.values())
                if isinstance(one, dict)
                else one
                if isinstance(one, list)
                else []
            )
        todo = below
    return data


def take(source: Source, name: str | None = None) -> Taken:
    """A source as what its format gives."""
    chosen = format_of(source, name)
    taken = chosen.take(source)
    if source.data is not None:  # else it is no YAML, and need not be
        taken.left[:0] = source.twice
    if not (taken.profiles or taken.hosts):
        why = "; ".join(str(one) for one in taken.left[:3])
        raise FilesWrong(f"{source.name}: nothing to take from {chosen.what}", hint=why)
    return taken
