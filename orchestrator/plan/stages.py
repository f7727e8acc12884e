"""Finds the stage builders: every module of steps/ that has a `STAGES` mapping."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import orchestrator.steps
from orchestrator.contracts import Step
from orchestrator.spec.models import Cluster

StageBuilder = Callable[[Cluster, Mapping[str, Any]], Iterable[Step]]


@cache
def stage_builders() -> Mapping[str, StageBuilder]:
    """Stage name → builder. Two files that offer the same name are a defect of ours."""
    found: dict[str, StageBuilder] = {}
    for info in pkgutil.iter_modules(orchestrator.steps.__path__):
        module = importlib.import_module(f"orchestrator.steps.{info.name}")
        for name, builder in getattr(module, "STAGES", {}).items():
            if name in found:
                raise ValueError(f"stage {name!r} is offered twice, again in {info.name}")
            found[name] = builder
    return found


@cache
def stage_options() -> Mapping[str, tuple[str, ...]]:
    """Stage name → the options that its builder takes from `with:`, for those that take some."""
    found: dict[str, tuple[str, ...]] = {}
    for builder in stage_builders().values():
        found.update(getattr(sys.modules[builder.__module__], "OPTIONS", {}))
    return found
