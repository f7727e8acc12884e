"""What is known to go wrong with links: failures of the tools, and causes. Pure; the data is rdma.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@dataclass(frozen=True)
class Entry:
    """A failure or a cause. `numbers` are the thresholds of the rule that finds it."""

    name: str
    cause: str
    remedy: str
    source: str
    match: tuple[re.Pattern[str], ...] = ()
    numbers: Mapping[str, float] | None = None
    first: bool = True  # False: only where nothing that stands before it was found
    once: bool = False  # told once for a link, whatever its numbers

    def number(self, name: str) -> float:
        """A threshold; KeyError where the data has none of that name."""
        return (self.numbers or {})[name]


@cache
def failures() -> Mapping[str, Entry]:
    """By kind, in the order in which they are tried."""
    return {one["kind"]: _entry(one["kind"], one) for one in _data()["failures"]}


@cache
def causes() -> Mapping[str, Entry]:
    """By name."""
    return {one["name"]: _entry(one["name"], one) for one in _data()["causes"]}


def recognised(lines: Iterable[str]) -> tuple[str, str] | None:
    """The kind of the first entry that matches a line, and that line."""
    told = [line.strip() for line in lines]
    for entry in failures().values():
        for pattern in entry.match:
            line = next((one for one in told if pattern.search(one)), None)
            if line is not None:
                return entry.name, line[:300]
    return None


@cache
def _data() -> Mapping[str, Any]:
    text = files("orchestrator.knowledge").joinpath("rdma.yaml").read_text(encoding="utf-8")
    data: Mapping[str, Any] = yaml.safe_load(text)
    return data


def _entry(name: str, one: Mapping[str, Any]) -> Entry:
    return Entry(
        name=name,
        cause=one["cause"],
        remedy=one["remedy"],
        source=one["source"],
        match=tuple(re.compile(text) for text in one.get("match", ())),
        numbers=one.get("numbers"),
        first=one.get("first", True),
        once=one.get("once", False),
    )
