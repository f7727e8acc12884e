"""Forms that a cluster can be written in: one file each, with a module attribute `FORMAT`; found by itself."""

from __future__ import annotations

from orchestrator.export.model import Format
from orchestrator.ranks.registry import Registry

_REGISTRY: Registry[Format] = Registry(__name__, __path__, "FORMAT", "form")


def export_format(name: str) -> Format:
    return _REGISTRY.get(name)


def export_formats() -> tuple[str, ...]:
    return _REGISTRY.names()
