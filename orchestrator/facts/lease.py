"""Who holds a host: the lease as its file on the host tells it. Taking and renewing one: `run/lease.py`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.errors import Unknown
from orchestrator.facts.probe import answered
from orchestrator.framing import PLACE
from orchestrator.question import question
from orchestrator.script import Command, Raw, Result, Script, Sh, sh

LOAD = sh("""
now=$(date +%s) t= s= u= o= r= c= p=
[ ! -r "$S/lease" ] || { read -r _ t; read -r _ s; read -r _ u; read -r _ o; read -r _ r
read -r _ c; read -r _ p; } <"$S/lease"
show() { printf 'now %s\\ndirectory %s\\n' "$now" "$S"; [ ! -r "$S/lease" ] || cat "$S/lease"; }
past() { printf '%s\\t%s\\t%s\\t%s\\t%s\\n' "$now" "$1" "$o" "$r" "$2" >>"$S/history"; }
""")


@dataclass(frozen=True)
class LeaseState:
    """A lease as the host has it. Times are the host's clock, in seconds since the epoch."""

    token: str
    since: int
    until: int
    owner: str
    run: str
    client: str
    pid: int
    now: int
    directory: str

    @property
    def expired(self) -> bool:
        """Whoever took it does not renew it: that run is over, or cut off."""
        return self.until < self.now

    def __str__(self) -> str:
        times = f"since {_clock(self.since, self.now)}, until {_clock(self.until, self.now)}"
        return f"{self.owner} (run {self.run}) {times}"


@question
class Lease:
    """A query: who holds the host; None where nobody does. An expired one is shown as such."""

    def ask(self) -> Script:
        return Script({"lease": Command(show(), timeout=10)})

    def parse(self, results: Mapping[str, Result]) -> LeaseState | None:
        return parse_lease(answered(results, "lease", "the lease"))


def show() -> Sh:
    """Show the lease. Reads only: a rename replaces the file, so that half of one is never seen."""
    return sh("""{}\n[ -r "$S/lease" ] || S=$R\n{}show\n""", Raw(Sh(PLACE)), Raw(LOAD))


def parse_lease(result: Result) -> LeaseState | None:
    """The lease that a script showed; None where there is none."""
    facts = dict(line.split(" ", 1) for line in result.text.splitlines() if " " in line)
    if "now" not in facts or "directory" not in facts:
        raise Unknown(f"the lease can't be read (exit code {result.rc}): {last_line(result)}")
    if "token" not in facts:
        return None
    try:
        return LeaseState(
            token=facts["token"],
            since=int(facts["since"]),
            until=int(facts["until"]),
            owner=facts["owner"],
            run=facts["run"],
            client=facts["client"],
            pid=int(facts["pid"]),
            now=int(facts["now"]),
            directory=facts["directory"],
        )
    except (KeyError, ValueError) as error:
        raise Unknown(f"the lease can't be read: {error!r}") from error


def last_line(result: Result) -> str:
    lines = result.err.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _clock(at: int, now: int) -> str:
    when = time.localtime(at)
    if time.localtime(now)[:3] == when[:3]:
        return time.strftime("%H:%M", when)
    return time.strftime("%Y-%m-%d %H:%M", when)
