"""Why here: how many files a process may open and how much memory it may lock, in our own session."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.facts.answers import Limits
from orchestrator.facts.probe import count, fields, listed, probe, reading, script
from orchestrator.facts.rdma import CAP_SYS_RESOURCE
from orchestrator.question import question
from orchestrator.script import Result, Script, sh

BODY = sh(
    """caps=
{ while read -r key value; do
  if [ "$key" = CapBnd: ]; then caps=$value; fi
done </proc/1/status; } 2>/dev/null
printf '%s\\n' "files $(ulimit -n)" "locked $(ulimit -l)" "caps $caps"
echo end"""
)


@question
class ReadLimits:
    """`ulimit` of the session that we were given."""

    def ask(self) -> Script:
        return script(limits=probe(BODY))

    def parse(self, results: Mapping[str, Result]) -> Limits:
        with reading("limits"):
            found = fields(listed(results, "limits", "limits"))
            locked = limit(found["locked"])
            return Limits(
                nofile=limit(found["files"]),
                memlock_bytes=locked * 1024 if locked is not None else None,
                raisable=bool(int(found["caps"], 16) & CAP_SYS_RESOURCE),
            )


def limit(word: str) -> int | None:
    """A number; None for no limit."""
    return None if word == "unlimited" else count(word)
