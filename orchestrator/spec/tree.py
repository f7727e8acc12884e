"""YAML text as a tree that knows the line and column of every key and value.

Built from PyYAML's events, not by its composer: nothing recurses, aliases are shared and counted
instead of copied, so neither deep nesting nor an alias bomb costs anything before it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from orchestrator.spec import scalars
from orchestrator.spec.models import Finding

MAX_DEPTH = 48
TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"
LIBYAML_DEPTH = "exceeded maximum nesting depth"  # 1,000 brackets, from PyYAML 6.0.4 on
MAX_VALUES = 200_000  # counted as if every alias were written out
MAX_ALIASES = 10_000
MAX_FINDINGS = 100  # nobody reads more at once

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile(
    "[^\x09\x0a\x0d\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
_MERGE = "<<"
_MAP_TAGS = (None, "!", "tag:yaml.org,2002:map")
_LIST_TAGS = (None, "!", "tag:yaml.org,2002:seq")


@dataclass(frozen=True, slots=True)
class Mark:
    """Where something stands; lines and columns count from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping with its own mark, and its value."""

    mark: Mark
    node: Node


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its mark. `raw` is a scalar as written; `size` counts it and all below."""

    mark: Mark
    value: scalars.Scalar = None
    entries: dict[str, Entry] | None = None
    items: tuple[Node, ...] | None = None
    raw: str = ""
    quoted: bool = False
    size: int = 1
    depth: int = 1

    @property
    def below(self) -> Iterator[Node]:
        if self.entries is not None:
            yield from (entry.node for entry in self.entries.values())
        yield from self.items or ()

    def data(self) -> Any:
        """Plain Python values; the depth is capped, so recursion is safe."""
        if self.entries is not None:
            return {key: entry.node.data() for key, entry in self.entries.items()}
        if self.items is not None:
            return [item.data() for item in self.items]
        return self.value


def mapping(mark: Mark, entries: dict[str, Entry]) -> Node:
    """A mapping node with its size and depth counted."""
    nodes = [entry.node for entry in entries.values()]
    size, depth = _measure(nodes)
    return Node(mark, entries=entries, size=size, depth=depth)


def parse(text: str, file: str) -> tuple[Node | None, list[Finding]]:
    """The tree of a document, and what is wrong with it. No tree: too broken to go on."""
    builder = _Builder(file)
    try:
        builder.check_characters(text)
        for event in yaml.parse(text, Loader=_Loader):
            builder.feed(event)
    except _TooBroken:
        return None, builder.findings
    except yaml.MarkedYAMLError as error:
        builder.syntax(error, text)
        return None, builder.findings
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        builder.wrong(Mark(file, 1, 1), f"not YAML: {str(error)[:200]}")
        return None, builder.findings
    if builder.root is None:
        builder.wrong(Mark(file, 1, 1), "the file is empty")
    return builder.root, builder.findings


class _TooBroken(Exception):
    """The finding is recorded; reading on would make no sense."""


@dataclass(slots=True)
class _Open:
    """A collection whose end has not been seen yet."""

    mark: Mark
    is_map: bool
    anchor: str | None
    children: list[Node] = field(default_factory=list)


class _Builder:
    """Takes events one by one; keeps anchors, open collections and findings."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.findings: list[Finding] = []
        self.root: Node | None = None
        self._anchors: dict[str, Node] = {}
        self._open: list[_Open] = []
        self._aliases = 0
        self._documents = 0
        self._merged = 0

    def wrong(self, mark: Mark, message: str, suggestion: str = "") -> None:
        if len(self.findings) >= MAX_FINDINGS:
            raise _TooBroken
        self.findings.append(
            Finding(
                message=message,
                file=mark.file,
                line=mark.line,
                column=mark.column,
                suggestion=suggestion,
            )
        )

    def stop(self, mark: Mark, message: str, suggestion: str = "") -> _TooBroken:
        self.wrong(mark, message, suggestion)
        return _TooBroken()

    def check_characters(self, text: str) -> None:
        match = _UNPRINTABLE.search(text)
        if match:
            before = text[: match.start()]
            mark = Mark(self.file, before.count("\n") + 1, len(before) - before.rfind("\n"))
            code = f"U+{ord(match.group()):04X}"
            raise self.stop(mark, f"the control character {code} has no place in a text file")

    def syntax(self, error: yaml.MarkedYAMLError, text: str) -> None:
        at = error.problem_mark or error.context_mark
        mark = Mark(self.file, at.line + 1, at.column + 1) if at else Mark(self.file, 1, 1)
        line = dict(enumerate(text.split("\n"), start=1)).get(mark.line, "")
        tabbed = "\t" in line[: len(line) - len(line.lstrip())]
        problem = error.problem or error.context or "syntax error"
        if problem == LIBYAML_DEPTH:  # it reads ahead of us
            self.wrong(mark, TOO_DEEP)
            return
        self.wrong(mark, f"not YAML: {problem}", "indent with spaces, not tabs" if tabbed else "")

    def feed(self, event: Any) -> None:
        mark = Mark(self.file, event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise self.stop(mark, "a second document starts here; a file holds one")
        elif isinstance(event, yaml.ScalarEvent):
            self._attach(self._scalar(event, mark), event.anchor)
        elif isinstance(event, yaml.AliasEvent):
            self._attach(self._alias(str(event.anchor), mark), None)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._start(event, mark)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end()

    def _start(self, event: Any, mark: Mark) -> None:
        is_map = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (_MAP_TAGS if is_map else _LIST_TAGS):
            self.wrong(mark, f"the tag {event.tag[:60]!r} is not supported: plain values only")
        if len(self._open) >= MAX_DEPTH:
            raise self.stop(mark, TOO_DEEP)
        self._open.append(_Open(mark, is_map, event.anchor))

    def _end(self) -> None:
        done = self._open.pop()
        if done.is_map:
            node = self._mapping(done)
        else:
            size, depth = _measure(done.children)
            node = Node(done.mark, items=tuple(done.children), size=size, depth=depth)
        if node.size > MAX_VALUES:
            raise self.stop(done.mark, f"more than {MAX_VALUES} values, aliases written out")
        if node.depth > MAX_DEPTH:
            raise self.stop(done.mark, f"{TOO_DEEP} through aliases")
        self._attach(node, done.anchor)

    def _attach(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node

    def _alias(self, name: str, mark: Mark) -> Node:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise self.stop(mark, f"more than {MAX_ALIASES} aliases")
        if any(open_.anchor == name for open_ in self._open):
            raise self.stop(mark, f"the alias *{name} stands inside its own anchor")
        if name not in self._anchors:
            raise self.stop(mark, f"there is no anchor &{name} above this alias")
        return self._anchors[name]

    def _scalar(self, event: Any, mark: Mark) -> Node:
        text: str = event.value
        quoted = not event.implicit[0]
        value: scalars.Scalar = text
        try:
            if event.implicit[0]:
                value = scalars.plain(text)
            elif event.tag is not None:
                value = scalars.tagged(event.tag, text)
        except ValueError as error:
            self.wrong(mark, str(error))
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            self.wrong(mark, "text with a NUL or half a character can't be passed to a program")
            value = ""
        return Node(mark, value=value, raw=text, quoted=quoted)

    def _mapping(self, done: _Open) -> Node:
        entries: dict[str, Entry] = {}
        merged: list[Node] = []
        pairs = zip(done.children[::2], done.children[1::2], strict=True)
        for key, node in pairs:
            if key.entries is not None or key.items is not None:
                self.wrong(key.mark, "a key must be a word, not a list or a mapping")
            elif key.raw == _MERGE and not key.quoted:
                merged.extend(self._merge_sources(node, key.mark))
            elif key.raw in entries:
                first = entries[key.raw].mark
                self.wrong(
                    key.mark,
                    f"the key {key.raw[:60]!r} stands twice; first in line {first.line}",
                )
            else:
                entries[key.raw] = Entry(key.mark, node)
        for source in merged:
            self._merged += len(source.entries or {})
            if self._merged > MAX_VALUES:
                raise self.stop(done.mark, f"more than {MAX_VALUES} values through `<<`")
            for name, entry in (source.entries or {}).items():
                entries.setdefault(name, entry)
        return mapping(done.mark, entries)

    def _merge_sources(self, node: Node, mark: Mark) -> list[Node]:
        sources = list(node.items) if node.items is not None else [node]
        if any(source.entries is None for source in sources):
            self.wrong(mark, "`<<` takes a mapping, or a list of mappings")
        return [source for source in sources if source.entries is not None]


def _measure(nodes: list[Node]) -> tuple[int, int]:
    size = 1 + sum(node.size for node in nodes)
    return size, 1 + max((node.depth for node in nodes), default=0)
