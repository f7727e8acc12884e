"""What is known about failures: log text in, causes with remedies out. Pure; the data is failures.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@dataclass(frozen=True)
class Cause:
    name: str
    cause: str
    remedy: str
    line: str  # the log line that says so


@cache
def _failures() -> tuple[tuple[re.Pattern[str], dict[str, Any]], ...]:
    text = files("orchestrator.knowledge").joinpath("failures.yaml").read_text(encoding="utf-8")
    return tuple((re.compile(one["match"]), one) for one in yaml.safe_load(text)["failures"])


def diagnose(log: str) -> tuple[Cause, ...]:
    """Causes found in a log, in the order of failures.yaml, each once."""
    lines = log.splitlines()
    found = []
    for pattern, entry in _failures():
        hit = next(((m, line) for line in lines if (m := pattern.search(line))), None)
        if hit is None:
            continue
        groups = {"detail": "", **{k: v or "" for k, v in hit[0].groupdict().items()}}
        found.append(
            Cause(
                entry["name"],
                entry["cause"].format(**groups),
                entry["remedy"].format(**groups),
                hit[1].strip()[:300],
            )
        )
    return tuple(found)
