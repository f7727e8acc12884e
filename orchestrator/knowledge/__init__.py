"""What is known about failures: log text in, causes with remedies out. Pure; the data is failures.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from orchestrator.tidy import first_error


@dataclass(frozen=True)
class Cause:
    name: str
    cause: str
    remedy: str
    line: str  # the log line that says so
    general: bool = False  # that something failed, not what


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
        general = entry.get("general", False)
        if general:
            groups["detail"] = first_error(lines, pattern)[:300] or "none that names itself"
        found.append(
            Cause(
                entry["name"],
                entry["cause"].format(**groups),
                entry["remedy"].format(**groups),
                hit[1].strip()[:300],
                general,
            )
        )
    return tuple(found)


def telling_first(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """Of several ranks' causes each once; what failed before that something did."""
    once: dict[str, Cause] = {}
    for cause in causes:
        once.setdefault(cause.name, cause)
    return tuple(sorted(once.values(), key=lambda cause: cause.general))
