"""What a format gives: profiles, deployments and hosts as mappings of orch's files, and all that was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Document = dict[str, Any]
ENDINGS = (".yaml", ".yml", ".json", ".ini", ".cfg", ".conf")


@dataclass(frozen=True)
class Left:
    """A part that has no place in orch's files: where it stood, what it said, and what instead."""

    where: str
    what: str
    why: str

    def __str__(self) -> str:
        shown = f" ({self.what})" if self.what else ""
        return f"{self.where}{shown}: {self.why}"


@dataclass(frozen=True)
class Source:
    """A file as it was read. `folder` is absolute: relative paths of the file start there."""

    name: str
    text: str
    folder: str = "/"
    data: Any = None  # its YAML or JSON, where it is one
    twice: tuple[Left, ...] = ()  # what the parser itself had to leave out

    @property
    def stem(self) -> str:
        last = self.name.rsplit("/", 1)[-1]
        for ending in ENDINGS:
            last = last.removesuffix(ending)
        return last.strip(".-") or "imported"


@dataclass
class Wanted:
    """A deployment before it is placed: how many hosts and GPUs it asks for."""

    profile: str
    entry: Document = field(default_factory=dict)
    hosts: tuple[str, ...] = ()  # where it is known already
    nodes: int = 1  # hosts at least
    whole: bool = False  # its sizes say how many GPUs it uses: all of them, and no more


@dataclass
class Taken:
    """All that one source gives."""

    format: str
    profiles: dict[str, Document] = field(default_factory=dict)
    deployments: dict[str, Wanted] = field(default_factory=dict)
    hosts: dict[str, Document] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    takeover: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    secrets: set[str] = field(
        default_factory=set
    )  # values that were seen: never shown, never written

    def leave(self, where: str, what: object, why: str) -> None:
        from orchestrator.take.secrets import shown

        self.left.append(Left(where, shown(what), why))


class Format(Protocol):
    """One file each under take/formats/, with a module attribute `FORMAT`."""

    name: str
    what: str  # for people: "a recipe of sparkrun"

    def fits(self, source: Source) -> bool: ...
    def take(self, source: Source) -> Taken: ...


def mapping(value: object) -> Mapping[str, Any]:
    """A mapping with text as keys; anything else is an empty one."""
    return {str(key): one for key, one in value.items()} if isinstance(value, Mapping) else {}


def listed(value: object) -> list[Any]:
    """A list as it is, one value as a list of one, nothing as none."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def text(value: object) -> str:
    """A value as a command line or an environment has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
