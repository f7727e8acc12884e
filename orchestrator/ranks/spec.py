"""A rank as text: its canonical JSON (the label `orch.spec`), its hash, its gang, and what differs.

Containers are compared by these, so the form never depends on the order in which a mapping was filled.
Values of secrets are never part of it: a `Rank` knows their names only.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.contracts import Rank

GANG = (
    "ORCH_GANG"  # in every rank's environment: the gang's own hash, so that one change restarts all
)
BLANK = {one.name: one.default for one in dataclasses.fields(Rank)}
PLAIN = (str, bool, int, float)
_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def as_data(rank: Rank) -> dict[str, Any]:
    """The rank as plain JSON data; what is not set is left out, so that a new field changes no hash."""
    given = ((name, getattr(rank, name)) for name in BLANK)
    data = {name: _plain(value) for name, value in given if value != BLANK[name]}
    return {key: value for key, value in data.items() if value not in ({}, [])}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, PLAIN):
        return value
    if dataclasses.is_dataclass(value):
        return {
            one.name: _plain(getattr(value, one.name))
            for one in dataclasses.fields(value)
            if getattr(value, one.name) != one.default
        }
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "items"):
        return {str(key): _plain(value[key]) for key in sorted(value)}
    return value


def canonical(rank: Rank) -> str:
    """The label `orch.spec`."""
    return _json(as_data(rank))


def digest(rank: Rank) -> str:
    """The label `orch.hash`: two containers are the same if it is."""
    return hashlib.sha256(canonical(rank).encode()).hexdigest()


def as_gang(ranks: Iterable[Rank]) -> tuple[Rank, ...]:
    """Every rank gets the hash of all of them: a gang restarts whole, never one rank."""
    members = tuple(ranks)
    whole = hashlib.sha256("\n".join(digest(one) for one in members).encode()).hexdigest()[:16]
    return tuple(replace(one, env={**one.env, GANG: whole}) for one in members)


def lines(data: Any) -> list[str]:
    """JSON data as lines that a person can compare: files are spread out, everything else is JSON."""
    data = dict(data)
    files = data.pop("files", {})
    text = json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False).splitlines()
    for path in sorted(files):
        text += [f"file {path}:", *(f"  {line}" for line in files[path].splitlines())]
    return text


def differences(label: str | None, wanted: Rank, name: str = "") -> str:
    """Unified diff from a container's label `orch.spec` to the wanted rank; "" where they are the same."""
    try:
        have: Sequence[str] = lines(json.loads(label)) if label else []
    except (ValueError, TypeError, AttributeError):
        have = ["(label orch.spec is not readable)"]
    want = lines(as_data(wanted))
    title = name or wanted.name
    diff = difflib.unified_diff(
        have, want, f"{title} (running)", f"{title} (wanted)", lineterm="", n=1
    )
    return "\n".join(diff)
