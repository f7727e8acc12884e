"""Takes what is wrong out of a file, so that the rest can be judged in the same run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from pydantic import BaseModel, ValidationError

from orchestrator.meant import close
from orchestrator.spec import wording
from orchestrator.spec.tree import Entry, Node, mapping

_STAND_INS: dict[str, Any] = {"version": 1, "name": "unknown", "hosts": {}}


def respell(model: type[BaseModel], root: Node, error: ValidationError) -> Node:
    """The tree with misspelt keys as they were meant: nothing else should complain for them."""
    for details in error.errors(include_url=False):
        location = details["loc"]
        if details["type"] == "extra_forbidden" and all(isinstance(one, str) for one in location):
            path = [str(one) for one in location]
            free = wording.keys_beside(model, root, tuple(path))
            meant = close(path[-1], free)
            if meant is not None:
                root = _renamed(root, path, meant)
    return root


def take_out(data: Any, error: ValidationError) -> bool:
    """Remove what an error is about. False: there is nothing left to remove."""
    if not isinstance(data, dict):
        return False
    changed = False
    placed = [(one, _present(data, one["loc"])) for one in error.errors(include_url=False)]
    for details, path in placed:
        if details["type"] == "missing" and len(details["loc"]) == 1:
            changed |= _stand_in(data, str(details["loc"][0]))
        else:
            changed |= _remove(data, path)
    return changed


def blank(data: dict[str, Any], places: Sequence[Sequence[str | int]]) -> None:
    """Nothing in the place of what is wrong, so that its name stays known; lists go as a whole."""
    for place in places:
        keys = [str(part) for part in takewhile(lambda part: isinstance(part, str), place)]
        parent: Any = data
        for key in keys[:-1]:
            parent = parent.get(key) if isinstance(parent, dict) else None
        if keys and isinstance(parent, dict) and keys[-1] in parent:
            parent[keys[-1]] = None


def _renamed(node: Node, path: Sequence[str], name: str) -> Node:
    """A copy of the tree with the last key of a path renamed, all marks kept."""
    entries = dict(node.entries or {})
    entry = entries.get(path[0])
    if entry is None:
        return node
    if len(path) == 1:
        del entries[path[0]]
        entries[name] = entry
    else:
        entries[path[0]] = Entry(entry.mark, _renamed(entry.node, path[1:], name))
    return mapping(node.mark, entries)


def _stand_in(data: dict[str, Any], key: str) -> bool:
    if key not in _STAND_INS or key in data:
        return False
    data[key] = _STAND_INS[key]
    return True


def _present(data: Any, location: Sequence[str | int]) -> tuple[str, ...]:
    """The keys of a location that are in the data, up to the first list: lists go as a whole."""
    path: list[str] = []
    for part in location:
        if isinstance(data, dict) and part in data:
            path.append(str(part))
            data = data[part]
        elif isinstance(data, list):
            break
    return tuple(path)


def _remove(data: dict[str, Any], path: Sequence[str]) -> bool:
    parent: Any = data
    for part in path[:-1]:
        parent = parent.get(part) if isinstance(parent, dict) else None
    if not path or not isinstance(parent, dict) or path[-1] not in parent:
        return False
    del parent[path[-1]]
    return True
