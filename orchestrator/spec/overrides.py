"""`--set vl.parallel.pipeline=2`: any value of the files for one run, checked like the files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.meant import did_you_mean
from orchestrator.spec import shape, tree
from orchestrator.spec.load import Files
from orchestrator.spec.models import ClusterFile, Finding, InventoryFile
from orchestrator.spec.tree import Entry, Mark, Node

_MAX_SEGMENTS = 32
_INDEXED = re.compile(r"\[([0-9]*)\](?=[.\[]|$)")  # as other tools write an item of a list

Where = Literal["cluster", "inventory", "profile"]


@dataclass(frozen=True)
class Override:
    """One `--set`: in which file, where in it, and the value as a tree with marks of its own."""

    text: str
    where: Where
    path: str
    value: Node


class _NoSuchPath(ValueError):
    def __init__(self, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.suggestion = suggestion


def read(files: Files, texts: Sequence[str], cluster: Node) -> list[Override]:
    """The overrides, each with the file that it belongs to."""
    found = []
    for text in texts:
        path, equals, value_text = text.partition("=")
        label = f"--set {path}"
        if not equals or not path or path.count(".") > _MAX_SEGMENTS:
            _wrong(files, label, "write --set PATH=VALUE, like vl.parallel.pipeline=2")
            continue
        if "" in path.split("."):
            _wrong(files, label, "a word of the path is empty", "like vl.parallel.pipeline=2")
            continue
        if _INDEXED.search(path) is not None:
            _wrong(files, label, "an item of a list is a word of the path", _item(path))
            continue
        value = _value(files, label, value_text)
        try:
            where, rest = _where(path, cluster)
        except _NoSuchPath as error:
            _wrong(files, label, str(error), error.suggestion)
            continue
        if value is not None:
            found.append(Override(label, where, rest, value))
    return found


def _item(path: str) -> str:
    """How it is written here: the item by its number, from 0, or the list as a whole."""
    numbered = _INDEXED.sub(lambda found: f".{found[1] or 0}", path)
    whole = path[: path.index("[")]
    return f"{numbered}=…, or the list as a whole: {whole}=[…, …]"


def apply(
    files: Files, node: Node, model: Any, overrides: Sequence[Override], where: Where
) -> Node:
    """The tree with the overrides of that file in it; the tree that was read stays as it is."""
    for override in overrides:
        if override.where == where:
            node = one(files, node, model, override)
    return node


def one(files: Files, node: Node, model: Any, override: Override, path: str | None = None) -> Node:
    """The tree with one override in it."""
    try:
        return _assign(node, model, override.path if path is None else path, override.value)
    except _NoSuchPath as error:
        _wrong(files, override.text, str(error), error.suggestion)
        return node


def _where(path: str, cluster: Node) -> tuple[Where, str]:
    head, _, rest = path.partition(".")
    if head == "inventory" and rest:
        return "inventory", rest
    if head == "profiles" and rest:
        return "profile", rest
    if head in shape.fields(ClusterFile):
        return "cluster", path
    if head in shape.fields(InventoryFile):
        return "inventory", path
    entry = (cluster.entries or {}).get("deployments")
    names = list((entry.node.entries or {}) if entry else {})
    if _take(path, names) is None:
        known = [*names, "deployments", "inventory", "hosts", "network", "profiles"]
        raise _NoSuchPath(f"there is no deployment {head!r}", did_you_mean(head, known))
    return "cluster", f"deployments.{path}"


def _value(files: Files, label: str, text: str) -> Node | None:
    if not text.strip():
        return Node(Mark(label, 1, 1))
    node, findings = tree.parse(text, label)
    files.findings.extend(findings)
    return node


def _assign(node: Node, annotation: Any, rest: str, value: Node) -> Node:
    """A copy of the tree along the path; whatever aliases share elsewhere stays as it was."""
    if not rest:
        return value
    if node.items is not None:
        return _assign_item(node, annotation, rest, value)
    entries = dict(node.entries or {})
    key, tail = _next_key(entries, annotation, rest)
    old = entries.get(key)
    below = old.node if old is not None else Node(value.mark)
    inner = _type_below(annotation, entries, key)
    if tail and below.entries is None and below.items is None:
        if not _may_be_mapping(inner):
            raise _NoSuchPath(f"{key!r} has nothing below it")
        below = Node(value.mark, entries={})
    entries[key] = Entry(
        value.mark if old is None else old.mark, _assign(below, inner, tail, value)
    )
    return tree.mapping(node.mark, entries)


def _assign_item(node: Node, annotation: Any, rest: str, value: Node) -> Node:
    index, _, tail = rest.partition(".")
    items = list(node.items or ())
    if not index.isdecimal() or len(index) > 6 or int(index) >= len(items):
        raise _NoSuchPath(f"there is no item {index[:40]!r}", f"the list has {len(items)}, from 0")
    inner = shape.item_type(annotation)
    items[int(index)] = _assign(items[int(index)], inner, tail, value)
    holder = tree.mapping(node.mark, {str(i): Entry(node.mark, one) for i, one in enumerate(items)})
    return Node(node.mark, items=tuple(items), size=holder.size, depth=holder.depth)


def _next_key(entries: dict[str, Entry], annotation: Any, rest: str) -> tuple[str, str]:
    """The key that the path goes through next; keys may have dots themselves."""
    known = shape.known_keys(annotation, entries)
    taken = _take(rest, [*entries, *known])
    if taken is not None:
        return taken
    head, _, tail = rest.partition(".")
    names = _names_only(annotation)
    if known or names:
        options = list(known) or list(entries)
        raise _NoSuchPath(f"there is no {head[:60]!r} here", did_you_mean(head, options))
    return head, tail


def _take(rest: str, keys: Sequence[str]) -> tuple[str, str] | None:
    fitting = [key for key in keys if rest == key or rest.startswith(f"{key}.")]
    if not fitting:
        return None
    key = max(fitting, key=len)
    return key, rest[len(key) + 1 :]


def _type_below(annotation: Any, entries: dict[str, Entry], key: str) -> Any:
    model = shape.model_for(annotation, entries)
    if model is not None:
        return shape.fields(model).get(key, Any)
    return shape.value_type(annotation) or Any


def _names_only(annotation: Any) -> bool:
    """Whether this maps names to models (hosts, deployments): `--set` makes no new ones."""
    inner = shape.value_type(annotation)
    return inner is not None and any(shape.is_model(leaf) for leaf in shape.leaves(inner))


def _may_be_mapping(annotation: Any) -> bool:
    if annotation is Any or shape.value_type(annotation) is not None:
        return True
    return any(leaf is Any or shape.is_model(leaf) for leaf in shape.leaves(annotation))


def _wrong(files: Files, label: str, message: str, suggestion: str = "") -> None:
    files.findings.append(
        Finding(message=message, file=label, line=1, column=1, suggestion=suggestion)
    )
