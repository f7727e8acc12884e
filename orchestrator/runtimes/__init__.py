"""Runtimes: what a rank runs in. One file each, with a module attribute `RUNTIME`; found by itself."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from orchestrator.contracts import Runtime
from orchestrator.facts.engine_words import program
from orchestrator.ranks.registry import Registry


@runtime_checkable
class CalledBy(Protocol):
    """A runtime that can be reached by more words than its name: `sudo -n podman`."""

    def by(self, called: str) -> Runtime: ...


_REGISTRY: Registry[Runtime] = Registry(__name__, __path__, "RUNTIME", "runtime")


def runtime(called: str) -> Runtime:
    """The runtime of a host, as the host calls it; its module is imported now, not before."""
    found = _REGISTRY.get(program(called))
    return found.by(called) if isinstance(found, CalledBy) and called != found.name else found


def runtimes() -> tuple[str, ...]:
    return _REGISTRY.names()
