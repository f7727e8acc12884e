"""How work that runs detached on a host stands: see `steps/job.py`, which starts it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from orchestrator.errors import Unknown
from orchestrator.facts.probe import (
    NEAREST,
    answered,
    count,
    fields,
    good,
    listed,
    probe,
    reading,
    said,
)
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, Sh, sh

ROOTS_JOBS = "/var/lib/orch-jobs"
# Sets `j` to the folder of the account's own jobs. Home folders may be shared by hosts: theirs has the host's name.
OWN_JOBS = sh(
    """read -r host </proc/sys/kernel/hostname
j=${HOME:?}/.local/state/orch/jobs/$host"""
)
TAIL = 4_000  # bytes of log that come back
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,120}")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f]")


@dataclass(frozen=True)
class JobState:
    """What is known of a job: absent, running, done (with `rc`), or lost (ended without a result)."""

    name: str
    state: Literal["absent", "running", "done", "lost"]
    rc: int | None = None
    started_s: int | None = None  # the host's clock
    ended_s: int | None = None
    log_bytes: int = 0
    tail: str = ""
    pulse: str = ""

    @property
    def failed(self) -> bool:
        """It ended, and not well."""
        return self.state == "lost" or (self.state == "done" and self.rc != 0)

    @property
    def last_line(self) -> str:
        """What it said last."""
        return "".join(self.last_lines(1)).strip()

    def last_lines(self, count: int) -> list[str]:
        """What it said last, without control characters of progress bars."""
        lines = [line.rstrip() for line in re.split(r"[\r\n]+", self.tail) if line.strip()]
        return [CONTROL.sub("", line) for line in lines[-count:]]


def checked_name(name: str) -> str:
    """The name, which becomes a folder and a systemd unit."""
    if not NAME.fullmatch(name):
        raise ValueError(f"not a job name: {name!r}")
    return name


def job_folder(name: str, sudo: bool) -> Sh:
    """Shell that sets `d` to the job's folder."""
    if sudo:
        return sh("d={}/{}", ROOTS_JOBS, checked_name(name))
    return sh("{}\nd=$j/{}", Raw(OWN_JOBS), checked_name(name))


# Sets `state`. The lock is tested first: the result is written before it is let go.
LOOK = sh(
    """state=absent
if [ -d "$d" ]; then
  state=free
  if [ -e "$d/lock" ]; then
    flock -n -s "$d/lock" true
    case $? in 0) ;; 1) state=running ;; *) state=unreadable ;; esac
  fi
  [ "$state" != free ] || { if [ -s "$d/rc" ]; then state=done; else state=lost; fi; }
fi"""
)


@question
class Job:
    """How a job stands. `pulse`: read-only shell whose output counts as progress too (bytes that arrived)."""

    turn: ClassVar[int] = -1  # before the facts that it changes; see hosts/reader.py
    name: str
    sudo: bool = False
    pulse: Sh | None = None

    def ask(self) -> Script:
        body = sh(
            """{}
{}
if command -v flock >/dev/null; then
{}
else state=unreadable; fi
[ "$near" = "$d" ] || [ -x "$near" ] || state=unreadable
printf 'state %s\\n' "$state"
case $state in running | done | lost)
  printf 'started %s\\n' "$(cat "$d/started" 2>/dev/null)"
  printf 'rc %s\\n' "$(cat "$d/rc" 2>/dev/null)"
  printf 'bytes %s\\n' "$(wc -c <"$d/log")"
  tail -c {} "$d/log" >&2 ;;
esac
echo end""",
            Raw(job_folder(self.name, self.sudo)),
            Raw(sh("p=$d\n{}", Raw(NEAREST))),
            Raw(LOOK),
            TAIL,
        )
        commands = {"job": probe(body, keep=65_536)}
        if self.pulse is not None:
            commands["pulse"] = probe(self.pulse, keep=4_096)
        return Script(commands)

    def parse(self, results: Mapping[str, Result]) -> JobState:
        what = f"job {self.name}"
        with reading(what):
            found = fields(listed(results, "job", what))
            state = found["state"]
            if state == "absent":
                return JobState(self.name, "absent")
            if state not in ("running", "done", "lost"):
                raise Unknown(f"{what}: {said(good(results, 'job', what))}")
            rc, _, ended = found["rc"].partition(" ")
            return JobState(
                self.name,
                "running" if state == "running" else "done" if state == "done" else "lost",
                rc=count(rc) if state == "done" else None,
                started_s=count(found["started"]) if found["started"] else None,
                ended_s=count(ended) if state == "done" else None,
                log_bytes=count(found["bytes"]),
                tail=results["job"].err.decode(errors="replace"),
                pulse=self._pulse(results),
            )

    def _pulse(self, results: Mapping[str, Result]) -> str:
        if self.pulse is None:
            return ""
        return answered(results, "pulse", f"job {self.name}").text.strip()
