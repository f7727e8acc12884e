"""What orch costs by itself, with no host: `orch --help`, and the plan of a cluster of a thousand hosts."""

from __future__ import annotations

from typing import Any


def measure() -> dict[str, Any]:
    return {}
