"""Engine flags as data, by engine and version; each with where it was learned."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml


@cache
def flags(engine: str) -> dict[str, Any]:
    """The table of an engine."""
    text = (Path(__file__).parent / f"{engine}.yaml").read_text(encoding="utf-8")
    table = yaml.safe_load(text)
    if not isinstance(table, dict):
        raise TypeError(f"flags/{engine}.yaml is no table")
    return table
