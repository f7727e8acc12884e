"""From measurements to one Markdown table of ratios, and to docs/performance.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def markdown(found: dict[str, Any]) -> str:
    return ""


def write(path: Path, table: str) -> None:
    return
