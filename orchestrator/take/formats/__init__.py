"""Formats that can be taken: one file each, with a module attribute `FORMAT`; found by itself."""

from __future__ import annotations

from orchestrator.errors import FilesWrong
from orchestrator.ranks.registry import Registry
from orchestrator.take.model import Format, Source

_REGISTRY: Registry[Format] = Registry(__name__, __path__, "FORMAT", "format")


def formats() -> tuple[str, ...]:
    return _REGISTRY.names()


def format_of(source: Source, name: str | None = None) -> Format:
    """The format of that name, else the one that the source has."""
    if name is not None:
        return _REGISTRY.get(name)
    fitting = [one for one in map(_REGISTRY.get, formats()) if one.fits(source)]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(formats())
    if fitting:
        could = ", ".join(one.name for one in fitting)
        raise FilesWrong(f"{source.name} could be {could}", hint="say which: --format NAME")
    broken = f" (as YAML: {source.twice[0]})" if source.data is None and source.twice else ""
    raise FilesWrong(
        f"{source.name} is in no format that can be taken{broken}",
        hint=f"there are: {known}; --format NAME says which it is",
    )
