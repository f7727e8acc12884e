"""Why here: while an engine loads, its `/health` tells that it is not ready yet; a completion is asked after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.errors import Unknown
from orchestrator.script import Request, Result


@dataclass(frozen=True)
class Health:
    """GET /health. The answer is the HTTP status; 0 where nobody listens."""

    port: int
    address: str = "127.0.0.1"
    path: str = "/health"

    def ask(self) -> Request:
        return Request(self.port, self.path, address=self.address, timeout=10)

    def parse(self, results: Mapping[str, Result]) -> int:
        result = results.get("http")
        if result is None:
            raise Unknown("health: no answer")
        return result.rc
