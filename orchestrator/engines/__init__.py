"""Engines: what serves. One file (or folder) each, with a module attribute `ENGINE`; found by itself."""

from __future__ import annotations

from orchestrator.contracts import Engine
from orchestrator.ranks.registry import Registry

_REGISTRY: Registry[Engine] = Registry(__name__, __path__, "ENGINE", "engine")


def engine(name: str) -> Engine:
    """The engine of that name; its module is imported now, not before."""
    return _REGISTRY.get(name)


def engines() -> tuple[str, ...]:
    return _REGISTRY.names()
