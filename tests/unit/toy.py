"""A toy world for planner and executor tests: hosts are dicts of integers, a step sets one of them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.contracts import Change, Event, Query, Step, World
from orchestrator.errors import OrchError
from orchestrator.hosts.reader import Answers
from orchestrator.run.events import Bus
from orchestrator.run.world import LiveWorld, Reads
from orchestrator.script import Command, Result, Script, sh


@dataclass(frozen=True)
class Get:
    """What is `key` on the host?"""

    key: str

    def ask(self) -> Script:
        return Script({"get": Command(sh("get {}", self.key))})

    def parse(self, results: Mapping[str, Result]) -> int:
        return int(results["get"].text)


@dataclass(frozen=True, kw_only=True)
class Set(Step):
    """`key` shall be 1."""

    key: str
    after: str | None = None  # check raises Failed unless this key is 1

    def check(self, world: World) -> Change | None:
        if world[self.host or ""].get(Get(self.key)) == 1:
            return None
        return Change(f"sets {self.key}")

    def apply(self, change: Change, world: World) -> Script:
        return Script({"set": Command(sh("set {}", self.key))}, mutates=True)


def set_step(host: str, key: str, **more: Any) -> Set:
    reads: frozenset[tuple[str, Query[Any]]] = frozenset({(host, Get(key))})
    return Set(id=f"{host}/{key}", host=host, key=key, reads=reads, **more)


@dataclass
class ToyHosts:
    """Keeps the values; counts reads and applies; `broken` steps raise instead of applying."""

    values: dict[str, dict[str, int]]
    broken: dict[str, OrchError] = field(default_factory=dict)
    reads: list[Reads] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    live: LiveWorld = field(init=False)

    def read(self, wanted: Reads) -> dict[str, Answers]:
        found: dict[str, dict[Query[Any], int]] = {}
        with self.lock:
            self.reads.append(wanted)
            for host, query in wanted:
                if isinstance(query, Get):
                    found.setdefault(host, {})[query] = self.values[host].get(query.key, 0)
        return {host: Answers(host, values) for host, values in found.items()}

    def world(self) -> LiveWorld:
        self.live = LiveWorld(self.values, self.read)
        return self.live

    def apply(self, step: Step, script: Script) -> None:
        if step.id in self.broken:
            raise self.broken[step.id]
        with self.lock:
            self.applied.append(step.id)
            if isinstance(step, Set) and step.host:
                self.values[step.host][step.key] = 1
        self.live.read(step.reads)

    def on(self, event: Event) -> None:
        self.events.append(event)

    def bus(self) -> Bus:
        return Bus("toy", [self])
