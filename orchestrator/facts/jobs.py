"""All jobs that run on a host now, whoever started them: what a dead laptop has left at work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.facts.job import LOOK, OWN_JOBS, ROOTS_JOBS, JobState
from orchestrator.facts.probe import count, listed, probe, reading, script
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, sh

SAID = 400  # bytes of each log's end: its last line


@dataclass(frozen=True)
class RunningJob:
    """One of them."""

    name: str
    pid: int  # a TERM to it ends the job and its children
    seconds: int  # since it was started
    last_line: str  # of its log


@question
class ReadJobs:
    """The jobs that run, root's and the account's own."""

    def ask(self) -> Script:
        body = sh(
            """{}
for d in {}/* "$j"/*; do
  [ -d "$d" ] || continue
{}
  case $state in done | lost) continue ;; esac
  printf '%s\\t%s\\t%s\\t%s\\t' "$state" "${d##*/}" "$(cat "$d/pid" 2>/dev/null)" "$(cat "$d/started")"
  tail -c {} "$d/log" | tr '\\r\\n' '\\t\\t'
  echo
done
date +%s
echo end""",
            Raw(OWN_JOBS),
            ROOTS_JOBS,
            Raw(LOOK),
            SAID,
        )
        return script(jobs=probe(body))

    def parse(self, results: Mapping[str, Result]) -> Sequence[RunningJob]:
        what = "jobs under way"
        with reading(what):
            *lines, now = listed(results, "jobs", what)
            return tuple(_job(line, count(now)) for line in lines)


def _job(line: str, now: int) -> RunningJob:
    state, name, pid, started, said = line.split("\t", 4)
    if state != "running":
        raise ValueError(f"{name} is {state}")
    last = JobState(name, "running", tail=said.replace("\t", "\n")).last_line
    return RunningJob(name, count(pid), max(0, now - count(started)), last)
