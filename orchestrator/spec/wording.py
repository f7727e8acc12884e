"""Turns what pydantic says into findings for a person: place, path, what to write instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from orchestrator.meant import close, did_you_mean
from orchestrator.spec import scalars, shape
from orchestrator.spec.models import Finding
from orchestrator.spec.tree import Mark, Node

Path = tuple[str | int, ...]

_EXPECTED = {
    "string_type": "text",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "literal_error": "",
}
_NAME = "letters, digits, dot, dash and underscore, 63 at most, a letter or digit first"


@dataclass(frozen=True)
class Wrong:
    """One error of pydantic, with its place in the tree."""

    path: Path
    at: Node
    mark: Mark
    error: ErrorDetails

    @property
    def kind(self) -> str:
        return self.error["type"]


def dotted(path: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in path)


def step(node: Node, part: str | int) -> Node | None:
    """The value below a node under a key or an index."""
    if node.entries is not None and isinstance(part, str):
        entry = node.entries.get(part)
        return entry.node if entry else None
    if node.items is not None and isinstance(part, int) and 0 <= part < len(node.items):
        return node.items[part]
    return None


def mark_of(root: Node, path: Sequence[str | int], *, key: bool = False) -> Mark:
    """Where a path stands, or the nearest thing above it that is there."""
    node, mark = root, root.mark
    for part in path:
        below = step(node, part)
        if below is None:
            break
        entry = node.entries.get(part) if node.entries and isinstance(part, str) else None
        mark = entry.mark if entry and (key or not below.raw) else below.mark
        node = below
    return mark


def findings(annotation: Any, root: Node, error: ValidationError) -> list[tuple[Path, Finding]]:
    """All errors as findings, one for each place; a union's members speak with one voice."""
    wrongs = [_place(root, details) for details in error.errors(include_url=False)]
    found: list[tuple[Path, Finding]] = []
    seen: set[tuple[Path, str]] = set()
    meant = _meant(annotation, root, wrongs)
    for wrong in wrongs:
        if wrong.kind == "missing" and wrong.path in meant:
            continue
        if wrong.kind in _EXPECTED and _another_member_fits(wrong, wrongs):
            continue
        key = (wrong.path, "type" if wrong.kind in _EXPECTED else str(wrong.error["msg"]))
        if key not in seen:
            seen.add(key)
            found.append((wrong.path, _finding(annotation, root, wrong, wrongs)))
    return found


def _place(root: Node, error: ErrorDetails) -> Wrong:
    node, path, mark = root, (), root.mark
    taken: Path = path
    location = error["loc"]
    for index, part in enumerate(location):
        if error["type"] == "missing" and index == len(location) - 1:
            return Wrong((*taken, part), node, mark, error)
        below = step(node, part)
        if below is None:
            continue  # the name of a union's member, or "[key]"
        taken = (*taken, part)
        entry = node.entries.get(str(part)) if node.entries is not None else None
        named = entry is not None and (
            error["type"] == "extra_forbidden" or below.entries is not None or not below.raw
        )
        mark = entry.mark if entry is not None and named else below.mark
        if "[key]" in location[index + 1 :] and entry is not None:
            mark = entry.mark
        node = below
    return Wrong(taken, node, mark, error)


def _another_member_fits(wrong: Wrong, wrongs: Sequence[Wrong]) -> bool:
    """Whether some member of the union has the right outer type: errors lie deeper, or are not about types."""
    depth = len(wrong.path)
    return any(
        other.path[:depth] == wrong.path
        and (len(other.path) > depth or other.kind not in _EXPECTED)
        for other in wrongs
    )


def _meant(annotation: Any, root: Node, wrongs: Sequence[Wrong]) -> set[Path]:
    """Keys that are there, misspelt: they are not missing as well."""
    found = set()
    for wrong in wrongs:
        if wrong.kind == "extra_forbidden":
            known = keys_beside(annotation, root, wrong.path)
            match = close(str(wrong.path[-1]), known)
            found.add((*wrong.path[:-1], match or ""))
    return found


def _finding(annotation: Any, root: Node, wrong: Wrong, wrongs: Sequence[Wrong]) -> Finding:
    message, suggestion = _words(annotation, root, wrong, wrongs)
    return Finding(
        message=message,
        suggestion=suggestion,
        path=dotted(wrong.path),
        file=wrong.mark.file,
        line=wrong.mark.line,
        column=wrong.mark.column,
    )


def _words(annotation: Any, root: Node, wrong: Wrong, wrongs: Sequence[Wrong]) -> tuple[str, str]:
    if wrong.kind == "extra_forbidden":
        known = keys_beside(annotation, root, wrong.path)
        return "unknown key", did_you_mean(str(wrong.path[-1]), known)
    if wrong.kind == "missing":
        return "is required", "write version: 1" if wrong.path == ("version",) else ""
    if wrong.kind in _EXPECTED:
        return _type_words(annotation, root, wrong, wrongs)
    if wrong.kind == "string_pattern_mismatch":
        return f"{_shown(wrong)} is not a name", _NAME
    context = wrong.error.get("ctx", {})
    bounds = {"greater_than_equal": "ge", "greater_than": "gt", "less_than_equal": "le"}
    if wrong.kind in bounds:
        words = {"ge": "at least", "gt": "more than", "le": "at most"}[bounds[wrong.kind]]
        return f"should be {words} {context[bounds[wrong.kind]]}, not {wrong.at.raw[:40]}", ""
    if wrong.kind == "value_error":
        return str(context["error"]), ""
    message = str(wrong.error["msg"])
    return message[:1].lower() + message[1:], ""


def _type_words(
    annotation: Any, root: Node, wrong: Wrong, wrongs: Sequence[Wrong]
) -> tuple[str, str]:
    words = annotation_at(annotation, root, wrong.path)
    alternatives = [
        _EXPECTED[other.kind]
        for other in wrongs
        if other.path == wrong.path and _EXPECTED.get(other.kind)
    ]
    alternatives += [
        repr(word) if isinstance(word, str) else str(word)
        for word in map(_lower_bool, shape.choices(words))
    ]
    unique = list(dict.fromkeys(alternatives)) or ["something else"]
    expected = unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} or {unique[-1]}"
    return f"should be {expected}, not {describe(wrong.at)}", _instead(wrong.at, unique)


def _instead(node: Node, expected: list[str]) -> str:
    """What to write, where the intent shows."""
    word = node.raw.lower()
    if "true or false" in expected and word in scalars.OLD_BOOLEANS:
        return f"write {str(scalars.OLD_BOOLEANS[word]).lower()}"
    if "text" in expected and node.raw and not isinstance(node.value, str):
        return f'as text: "{node.raw[:40]}"'
    if "an integer" in expected and isinstance(node.value, str) and node.value.isdecimal():
        return f"write {int(node.value[:18])}, without quotes or leading zeros"
    words = [word[1:-1] for word in expected if word.startswith("'")]
    match = close(node.raw, words) if words and isinstance(node.value, str) else None
    return f"did you mean {match!r}?" if match else ""


def describe(node: Node) -> str:
    """A value, named for a message."""
    if node.entries is not None:
        return "a mapping"
    if node.items is not None:
        return "a list"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, str):
        return f"the text {_cut(node.value)}"
    return node.raw[:40]


def annotation_at(annotation: Any, root: Node, path: Sequence[str | int]) -> Any:
    """The annotation that the value at a path is checked by."""
    node: Node | None = root
    for part in path:
        if isinstance(part, int):
            annotation = shape.item_type(annotation)
        else:
            keys = node.entries if node and node.entries else {}
            model = shape.model_for(annotation, dict(keys))
            inner = shape.value_type(annotation)
            annotation = shape.fields(model).get(part, Any) if model else inner or Any
        node = step(node, part) if node else None
    return annotation


def keys_beside(annotation: Any, root: Node, path: Path) -> tuple[str, ...]:
    """Keys that could stand in the place of the last one of the path."""
    parent: Node | None = root
    for part in path[:-1]:
        parent = step(parent, part) if parent else None
    present = set(parent.entries or {}) if parent else set()
    known = shape.known_keys(annotation_at(annotation, root, path[:-1]), dict.fromkeys(present))
    return tuple(key for key in known if key not in present)


def _shown(wrong: Wrong) -> str:
    if "[key]" in wrong.error["loc"] and wrong.path:
        return _cut(str(wrong.path[-1]))
    return _cut(wrong.at.raw)


def _cut(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")


def _lower_bool(word: Any) -> Any:
    return str(word).lower() if isinstance(word, bool) else word
