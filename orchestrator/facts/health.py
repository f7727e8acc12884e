"""What a container's own health check says: the proof of a service that has no page to ask for."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.errors import Unknown
from orchestrator.facts.engine_words import spoken
from orchestrator.facts.probe import (
    answered,
    json_of,
    mapping,
    probe,
    reading,
    said,
    script,
    text_of,
)
from orchestrator.facts.visit import Visited
from orchestrator.question import question
from orchestrator.script import Result, Script, sh

GONE = "no such container"
FORM = '{"state":{{json .State.Status}},"health":{{if .State.Health}}{{json .State.Health}}{{else}}null{{end}}}'
NO_CHECK = "nothing tells whether it is up: the image has no health check"


@question
class ReadHealth:
    """Healthy, or why not. A container without a check never is: running is not working."""

    runtime: str
    name: str

    def ask(self) -> Script:
        body = sh("{} container inspect --format {} {}", spoken(self.runtime), FORM, self.name)
        return script(health=probe(body))

    def parse(self, results: Mapping[str, Result]) -> Visited:
        what = f"health of {self.name}"
        with reading(what):
            result = answered(results, "health", what)
            if result.rc != 0:
                if GONE in result.err.decode(errors="replace").lower():
                    return Visited(False, "it is not there", state="missing")
                raise Unknown(f"{what}: {said(result)}")
            found = mapping(json_of(result.text))
            state = text_of(found["state"])
            if state != "running":
                return Visited(False, f"it is {state}", state=state)
            if found["health"] is None:
                return Visited(False, NO_CHECK, hopeless=True)
            return _judged(mapping(found["health"]))


def _judged(health: Mapping[str, object]) -> Visited:
    status = text_of(health["Status"])
    if status in ("", "none"):
        return Visited(False, NO_CHECK, hopeless=True)
    if status not in ("healthy", "starting", "unhealthy"):
        raise ValueError(f"not a health: {status[:40]!r}")
    log = health.get("Log") or []
    last = mapping(log[-1]) if isinstance(log, list) and log else {}
    lines = str(last.get("Output", "")).strip().splitlines()
    told = f"{status}: {lines[-1][:200]}" if lines else status
    return Visited(True) if status == "healthy" else Visited(False, told, state=status)
