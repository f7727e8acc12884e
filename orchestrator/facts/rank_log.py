"""What a rank said last tells whether it moves, and why it ended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.errors import Unknown
from orchestrator.facts.engine_words import spoken
from orchestrator.facts.probe import answered, probe, script
from orchestrator.facts.process_folder import RUNTIME, log_of
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, Sh, sh

GONE = "no such container"
# A model that loads may write nothing for long: llama.cpp sends 70 GB to an RPC server without a line.
LOAD_STEP = 64 * 1024 * 1024  # less is no load: an idle engine pages in a library now and then
READ = re.compile(r"\brbytes=(\d{1,18})\b")


@dataclass(frozen=True)
class RankLog:
    """The last lines of a container, without their times; `stamp` is the last one's.

    `loaded`: how much it has read from disks, in steps of 64 MiB; 0 where nobody tells.
    """

    exists: bool
    lines: tuple[str, ...] = ()
    stamp: str = ""
    loaded: int = 0

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
            loaded = probe(_loading(called, self.name))
            return script(log=probe(text, keep=65_536), loaded=loaded)
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
        lines = tuple(rest for _, _, rest in pairs)
        return RankLog(True, lines, stamp, _loaded(results.get("loaded")))


def _loading(called: Raw, name: str) -> Sh:
    """Docker is asked for the id only where the kernel counts for containers: each call is a program of 40 MB."""
    return sh(
        """i=
for f in /sys/fs/cgroup/system.slice/docker-*.scope /sys/fs/cgroup/docker/* \\
/sys/fs/cgroup/machine.slice/libpod-*.scope; do
  [ -r "$f/io.stat" ] || continue
  [ -n "$i" ] || i=$({} inspect -f '{{.Id}}' {}) || break
  case $f in *"${i:-no id}"*) cat "$f/io.stat" ;; esac
done""",
        called,
        name,
    )


def _loaded(result: Result | None) -> int:
    """The sum over all disks; what can't be read does not move."""
    text = "" if result is None or result.rc != 0 else result.text
    return sum(int(one) for one in READ.findall(text)) // LOAD_STEP
