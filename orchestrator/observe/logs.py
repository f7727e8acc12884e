"""Logs of many ranks as one stream: who said it, in the order of their times, each line once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.contracts import Hosts
from orchestrator.errors import OrchError
from orchestrator.hosts.pool import in_parallel
from orchestrator.runtimes import runtime
from orchestrator.script import Result, Script
from orchestrator.tidy import printable

STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) ?(.*)\Z", re.S)


@dataclass(frozen=True)
class Source:
    """A rank whose log can be read."""

    host: str
    runtime: str
    container: str
    deployment: str
    rank: str
    script: Callable[[int], Script] | None = field(default=None, compare=False)  # not the runtime's

    @property
    def label(self) -> str:
        return f"{self.host} {self.deployment}/{self.rank}"


@dataclass(frozen=True)
class Line:
    """One line; `at` is None where the runtime gives no times."""

    source: Source
    at: float | None
    text: str


@dataclass(frozen=True)
class Batch:
    """The end of one log, raw, or why there is none."""

    lines: tuple[str, ...] = ()
    error: str = ""


def split(source: Source, raw: str) -> Line:
    """A line with its time taken off."""
    found = STAMP.match(raw)
    if found is None:
        return Line(source, None, printable(raw))
    return Line(source, datetime.fromisoformat(found[1]).timestamp(), printable(found[2]))


def merged(lines: Iterable[Line]) -> list[Line]:
    """By time, each rank's own order kept; lines without a time stay behind their neighbour."""
    last: dict[Source, float] = {}
    keyed = []
    for line in lines:
        at = line.at if line.at is not None else last.get(line.source, 0.0)
        last[line.source] = max(at, last.get(line.source, at))
        keyed.append((last[line.source], line))
    return [line for _, line in sorted(keyed, key=lambda pair: pair[0])]


def fresh(before: Sequence[str], now: Sequence[str]) -> tuple[Sequence[str], bool]:
    """What `now` has beyond `before`, both ends of the same log; and whether lines are missing."""
    for overlap in range(min(len(before), len(now)), 0, -1):
        if now[overlap - 1] == before[-1] and before[-overlap:] == now[:overlap]:
            return now[overlap:], False
    return now, bool(before)


def batch_of(result: Result | None) -> Batch:
    """What `Runtime.logs` brought. An error of the runtime is told, not shown as a log line."""
    if result is None:
        return Batch(error="no answer")
    text = result.text + result.err.decode(errors="replace")
    lines = text.splitlines()
    if result.rc != 0:
        return Batch(error=lines[-1] if lines else f"exit {result.rc}")
    return Batch(tuple(lines[1:] if result.truncated else lines))


def read_one(hosts: Hosts, source: Source, lines: int) -> Batch:
    """The last lines of one rank; never raises for a host."""
    try:
        if source.script is not None:
            results = hosts.run(source.host, source.script(lines))
        else:
            results = hosts.run(source.host, runtime(source.runtime).logs(source.container, lines))
    except OrchError as error:
        return Batch(error=str(error))
    return batch_of(next(iter(results.values()), None))


def read_all(hosts: Hosts, sources: Sequence[Source], lines: int) -> Mapping[Source, Batch]:
    """The last lines of all ranks, at once."""
    keyed = {f"{one.host} {one.container}": one for one in sources}
    batches = in_parallel(lambda key: read_one(hosts, keyed[key], lines), keyed)
    return {keyed[key]: batch for key, batch in batches.items()}


@dataclass
class Follower:
    """Remembers the end of each log and gives what came since.

    `window` lines are asked each time: it stays, so that two looks at one log overlap.
    """

    hosts: Hosts
    sources: Sequence[Source]
    window: int
    _ends: dict[Source, tuple[str, ...]] = field(default_factory=dict)
    _errors: dict[Source, str] = field(default_factory=dict)

    def poll(self, most: int | None = None) -> tuple[list[Line], list[tuple[Source, str]]]:
        """New lines of all ranks, at most `most` of each, merged; and troubles, each told once."""
        lines: list[Line] = []
        troubles: list[tuple[Source, str]] = []
        for source, batch in read_all(self.hosts, self.sources, self.window).items():
            if batch.error:
                if self._errors.get(source) != batch.error:
                    troubles.append((source, batch.error))
                self._errors[source] = batch.error
                continue
            self._errors.pop(source, None)
            new, gap = fresh(self._ends.get(source, ()), batch.lines)
            if gap and len(batch.lines) >= self.window:
                troubles.append(
                    (source, f"wrote more than {self.window} lines at once; some are missing")
                )
            self._ends[source] = batch.lines
            kept = new if most is None else new[max(0, len(new) - most) :]
            lines.extend(split(source, raw) for raw in kept)
        return merged(lines), troubles
