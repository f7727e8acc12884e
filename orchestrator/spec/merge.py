"""Deep merge: how `extends`, `defaults` and a deployment's `args` win over what they build on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Whole = Callable[[tuple[str, ...]], bool]


def merge(
    base: Mapping[str, Any],
    over: Mapping[str, Any],
    whole: Whole = lambda path: False,
    path: tuple[str, ...] = (),
) -> dict[str, Any]:
    """`over` wins; mappings are merged, lists and scalars replaced, and null takes a key away.

    `whole` names paths whose mappings are replaced, not merged.

    >>> merge({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": None, "z": 4}})
    {'a': {'x': 1, 'z': 4}, 'b': 3}
    """
    merged = dict(base)
    for key, value in over.items():
        here = (*path, key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            below = merged.get(key)
            if not isinstance(below, Mapping) or whole(here):
                below = {}
            merged[key] = merge(below, value, whole, here)
        else:
            merged[key] = value
    return merged


def is_secret(path: tuple[str, ...]) -> bool:
    """A secret comes from one place: a child's `{file: …}` replaces its parent's `{env: …}`."""
    return path[-1] in ("api_key", "become_password") or (len(path) == 2 and path[0] == "secrets")
