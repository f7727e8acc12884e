"""Runtimes: what a rank runs in. One file each, with a module attribute `RUNTIME`; found by itself."""

from __future__ import annotations

from orchestrator.contracts import Runtime
from orchestrator.ranks.registry import Registry

_REGISTRY: Registry[Runtime] = Registry(__name__, __path__, "RUNTIME", "runtime")


def runtime(name: str) -> Runtime:
    """The runtime of that name; its module is imported now, not before."""
    return _REGISTRY.get(name)


def runtimes() -> tuple[str, ...]:
    return _REGISTRY.names()
