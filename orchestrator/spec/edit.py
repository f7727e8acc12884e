"""One value of a YAML file in another word: all else, comments and order too, stays as it was written. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from orchestrator.errors import FilesWrong
from orchestrator.spec import tree, wording
from orchestrator.spec.tree import Node

_BREAKS = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # as YAML 1.1 counts lines
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_PROPERTIES = re.compile(r"(?:[&!]\S*[ \t]+)*")
_PLAIN = re.compile(r"[A-Za-z0-9./~][A-Za-z0-9._/~-]*")


def with_value(text: str, path: Sequence[str], value: str, file: str) -> str:
    """The text with the scalar at `path` replaced. FilesWrong where that would change anything else."""
    root = _parsed(text, file)
    node = _at(root, path)
    wanted = root.data()
    _put(wanted, path, value)
    if node is not None:
        start, end = _place(text, node)
        if end > start:
            made = text[:start] + _word(node, text[start], value) + text[end:]
            again, findings = tree.parse(made, file)
            if again is not None and not findings and again.data() == wanted:
                return made
    raise FilesWrong(
        f"{file}: {wording.dotted(path)} does not stand there as a word of its own",
        hint=f"an anchor, an alias or `<<` gives it: write `{path[-1]}: {value}` there, as a key of its own",
    )


def value_at(text: str, path: Sequence[str], file: str) -> Any:
    """What the text says at `path`; None where it says nothing."""
    node = _at(_parsed(text, file), path)
    return None if node is None else node.data()


def _parsed(text: str, file: str) -> Node:
    root, findings = tree.parse(text, file)
    if root is None or findings:
        raise FilesWrong(f"{file} is not right: {findings[0] if findings else 'it is empty'}")
    return root


def _at(root: Node, path: Sequence[str]) -> Node | None:
    node = root
    for key in path:
        entry = (node.entries or {}).get(key)
        if entry is None:
            return None
        node = entry.node
    return node


def _put(data: Any, path: Sequence[str], value: str) -> None:
    for key in path[:-1]:
        data = data.get(key) if isinstance(data, dict) else None
    if isinstance(data, dict):
        data[path[-1]] = value


def _place(text: str, node: Node) -> tuple[int, int]:
    """From where to where a scalar stands, without its anchor or tag; nothing where it is of another form."""
    start = 0
    for _ in range(node.mark.line - 1):
        found = _BREAKS.search(text, start)
        if found is None:
            return 0, 0
        start = found.end()
    start += node.mark.column - 1
    properties = _PROPERTIES.match(text, start)
    start = properties.end() if properties is not None else start
    quoted = _QUOTED.match(text, start)
    if quoted is not None:
        return start, quoted.end()
    return (start, start + len(node.raw)) if text.startswith(node.raw, start) else (0, 0)


def _word(node: Node, first: str, value: str) -> str:
    """The new value in the old one's quotes; in quotes of its own where it needs them."""
    if first == "'":
        return "'" + value.replace("'", "''") + "'"
    if first == '"' or not _PLAIN.fullmatch(value) or not _text(value):
        return json.dumps(value, ensure_ascii=False)
    return value


def _text(value: str) -> bool:
    """Whether it is text without quotes too, and not a number or a switch."""
    node, findings = tree.parse(value, "")
    return node is not None and not findings and node.data() == value
