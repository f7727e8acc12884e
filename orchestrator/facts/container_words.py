"""Why here: how containers of the user's were started, whole: with their image's own settings and their processes.

Only `orch import` asks. What comes back holds the environment, secrets too: it is never journalled or shown.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.errors import Unknown
from orchestrator.facts.containers import VANISHED
from orchestrator.facts.probe import good, json_of, mapping, probe, reading, script
from orchestrator.question import question
from orchestrator.script import Result, Script, seq, sh

MOST = 32  # containers at once
PROCESSES = 64  # of a container
# How `top` is told to give ids as the host has them: podman's own would be those inside.
HOST_PIDS = {"docker": ("-eo", "pid"), "podman": ("hpid", "user")}


@dataclass(frozen=True)
class Described:
    """One container: docker's description, its image's, and the words of the processes in it."""

    container: Mapping[str, Any] = field(repr=False)
    image: Mapping[str, Any] = field(repr=False)
    processes: tuple[tuple[str, ...], ...] = field(default=(), repr=False)


@question
class ReadContainerWords:
    """The containers of these names that there are, in this order."""

    runtime: str
    names: tuple[str, ...]

    def ask(self) -> Script:
        parts = [
            sh(
                """n={}
if c=$({} inspect --type container --format '{{json .}}' "$n" 2>/dev/null); then
  printf 'container %s\\n' "$c"
  i=$({} inspect --type container --format '{{.Image}}' "$n")
  i=$({} image inspect --format '{{json .}}' "$i" 2>/dev/null) &&
    printf 'image %s\\n' "$i"
  for p in $({} top "$n" {} {} 2>/dev/null | tail -n +2 | awk '{print $1}' | head -n {}); do
    w=$(base64 -w 0 </proc/"$p"/cmdline 2>/dev/null) && printf 'process %s\\n' "$w"
  done
else printf 'absent %s\\n' "$({} inspect --type container "$n" 2>&1 >/dev/null | tail -n 1)"; fi""",
                name,
                *(4 * [self.runtime]),
                *HOST_PIDS[self.runtime],
                PROCESSES,
                self.runtime,
            )
            for name in self.names[:MOST]
        ]
        return script(words=probe(seq([*parts, sh("echo end")]), keep=8_388_608, timeout=60))

    def parse(self, results: Mapping[str, Result]) -> tuple[Described, ...]:
        what = f"containers of {self.runtime}"
        with reading(what):
            lines = good(results, "words", what).text.splitlines()
            if not lines or lines[-1] != "end":
                raise Unknown(f"{what}: the answer is cut")
            found: list[Described] = []
            for line in lines[:-1]:
                kind, _, rest = line.partition(" ")
                _add(found, kind, rest)
            return tuple(found)


def _add(found: list[Described], kind: str, rest: str) -> None:
    if kind == "container":
        found.append(Described(mapping(json_of(rest)), {}))
        return
    if kind == "absent":
        if not VANISHED.search(rest):
            raise Unknown(f"a container could not be looked at: {rest[:200]}")
        return
    if not found:
        raise ValueError("no container before it")
    last = found[-1]
    if kind == "image":
        found[-1] = Described(last.container, mapping(json_of(rest)), last.processes)
    elif kind == "process":
        words = _words(rest)
        found[-1] = Described(last.container, last.image, (*last.processes, words))
    else:
        raise ValueError("a line that was not asked for")


def _words(text: str) -> tuple[str, ...]:
    """`/proc/PID/cmdline`: words that end in a NUL."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error
    return tuple(data.decode(errors="replace").rstrip("\0").split("\0"))
