"""How a job stands that is a container: it runs, it has ended well or badly, or it is known to be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from orchestrator.errors import Unknown
from orchestrator.facts.engine_words import spoken
from orchestrator.facts.probe import (
    NEAREST,
    answered,
    fields,
    good,
    host_path,
    listed,
    probe,
    reading,
    said,
    script,
)
from orchestrator.facts.visit import Visited
from orchestrator.question import question
from orchestrator.script import Raw, Result, Script, sh

GONE = "no such container"
FORM = (
    "state {{.State.Status}}\ncode {{.State.ExitCode}}\n"
    'hash {{index .Config.Labels "orch.hash"}}\nend'
)


@dataclass(frozen=True)
class Ended:
    """`recorded`: the mark on the host that outlives the container. See contracts.Proof for the rest."""

    proof: Visited
    recorded: bool

    @property
    def answered(self) -> bool:
        return self.proof.answered

    @property
    def why(self) -> str:
        return self.proof.why

    @property
    def text(self) -> str:
        return ""

    @property
    def status(self) -> int:
        return 0

    @property
    def hopeless(self) -> bool:
        return self.proof.hopeless

    @property
    def state(self) -> str:
        return self.proof.state


@question
class ReadEnded:
    """Is the job with this content done? By its mark, or by the container that ended with 0."""

    turn: ClassVar[int] = 1  # after containers and logs, that may tell an end
    runtime: str
    name: str
    mark: str  # file on the host with the content's sum
    digest: str
    sudo: bool = False

    def ask(self) -> Script:
        body = sh(
            """{}
{}
if [ -f "$p" ]; then printf 'mark %s\\n' "$(cat "$p")" && echo end
elif [ -d "$near" ] && [ ! -x "$near" ]; then echo "no access to $near" >&2; (exit 1)
else echo end; fi""",
            Raw(host_path(self.mark)),
            Raw(NEAREST),
        )
        look = sh("{} container inspect --format {} {}", spoken(self.runtime), FORM, self.name)
        return script(mark=probe(body, sudo=self.sudo), job=probe(look))

    def parse(self, results: Mapping[str, Result]) -> Ended:
        what = f"job {self.name}"
        with reading(what):
            found = fields(listed(results, "mark", f"mark of {what}"))
            recorded = found.get("mark") == self.digest
            result = answered(results, "job", what)
            if result.rc != 0:
                if GONE not in result.err.decode(errors="replace").lower():
                    raise Unknown(f"{what}: {said(result)}")
                done = Visited(True, state="done")
                return Ended(
                    done if recorded else Visited(False, "it has not run", state="missing"),
                    recorded,
                )
            state = fields(listed({"job": good(results, "job", what)}, "job", what))
            return Ended(self._judged(state, recorded), recorded)

    def _judged(self, found: Mapping[str, str], recorded: bool) -> Visited:
        if found["hash"] != self.digest:
            if recorded:
                return Visited(True, state="done")
            return Visited(False, "what ran had another specification", state="outdated")
        if found["state"] in ("exited", "dead", "stopped"):
            code = int(found["code"])
            if code == 0:
                return Visited(True, state="done")
            return Visited(False, f"it ended with code {code}", state="failed", hopeless=True)
        return Visited(False, f"it is {found['state']}", state=found["state"])
