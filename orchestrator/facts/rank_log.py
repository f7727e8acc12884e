"""What a rank said last tells whether it moves, and why it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.errors import Unknown
from orchestrator.facts.engine_words import spoken
from orchestrator.facts.probe import answered, probe, script
from orchestrator.facts.process_folder import RUNTIME, log_of
from orchestrator.question import question
from orchestrator.script import Result, Script, sh

GONE = "no such container"


@dataclass(frozen=True)
class RankLog:
    """The last lines of a container, without their times; `stamp` is the last one's."""

    exists: bool
    lines: tuple[str, ...] = ()
    stamp: str = ""

    @property
    def last(self) -> str:
        return next((line.strip() for line in reversed(self.lines) if line.strip()), "")


@question
class ReadRankLog:
    """The last lines that a container wrote, to stdout and stderr."""

    name: str
    lines: int = 40
    runtime: str = "docker"

    def ask(self) -> Script:
        if self.runtime == RUNTIME:
            text = log_of(self.name, self.lines)
        else:
            called = spoken(self.runtime)
            text = sh("{} logs --timestamps --tail {} {} 2>&1", called, self.lines, self.name)
        return script(log=probe(text, keep=65_536))

    def parse(self, results: Mapping[str, Result]) -> RankLog:
        result = results.get("log")
        if result is None:
            raise Unknown(f"log of {self.name}: no answer")
        if not result.truncated:
            answered(results, "log", f"log of {self.name}")
        if result.rc != 0:
            if GONE in result.text.lower():
                return RankLog(exists=False)
            raise Unknown(f"log of {self.name}: {result.text.strip()[:200]}")
        pairs = [line.partition(" ") for line in result.text.splitlines()]
        if result.truncated:
            pairs = pairs[1:]  # the first line is cut
        stamp = pairs[-1][0] if pairs else ""
        return RankLog(True, tuple(rest for _, _, rest in pairs), stamp)
