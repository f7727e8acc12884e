"""A service that is no model proves itself by a page of its own: the path that its profile names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.errors import Unknown
from orchestrator.facts.completion import why
from orchestrator.question import question
from orchestrator.script import Request, Result

VISIT_S = 10
FORBIDDEN = (401, 403)


@dataclass(frozen=True)
class Visited:
    """See contracts.Proof."""

    answered: bool
    why: str = ""
    text: str = ""
    status: int = 0
    hopeless: bool = False
    state: str = ""  # of what has no answer to give: running, done, failed


@question
class Visit:
    """GET a path: 2xx and 3xx are an answer (a page for logging in is one)."""

    port: int
    path: str
    address: str = "127.0.0.1"

    def ask(self) -> Request:
        return Request(self.port, self.path, address=self.address, timeout=VISIT_S)

    def parse(self, results: Mapping[str, Result]) -> Visited:
        result = results.get("http")
        if result is None:
            raise Unknown(f"{self.path}: no answer")
        if 200 <= result.rc < 400:
            return Visited(True, status=result.rc)
        said = why(result).partition("\n")[0]
        told = f"{self.path}: {said}" if result.rc else said
        return Visited(False, told, status=result.rc, hopeless=result.rc in FORBIDDEN)
