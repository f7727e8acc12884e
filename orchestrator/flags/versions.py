"""Which version of an engine a profile means, and which flags and variables that version has.

The tables are made by scripts/flags.py from the engines' sources; what took a flag's place is written by hand, under
`replaced:` of the engine's table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from orchestrator.flags import flags

if TYPE_CHECKING:
    from orchestrator.spec.models import Profile

Version = tuple[int, ...]
SAID = re.compile(r"[vb]?(\d+(?:\.\d+)*)")
RANGE = re.compile(r"(?:from (\S+?))?(?: ?below (\S+?))?(?: ?(?:or )?(unknown))?")
FOLDER = Path(__file__).parent


def number(text: str) -> Version:
    """`0.12`, `v0.12` and `b11200` as numbers; ValueError for what is none."""
    found = SAID.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no version")
    return tuple(int(part) for part in found[1].split("."))


def words(version: Version) -> str:
    return ".".join(map(str, version))


def version(profile: Profile) -> Version | None:
    """The engine's, as `engine_version:`, flags/ or the image's tag says; None: not known."""
    return _version(profile.engine_key, profile.image or "", profile.engine_version or "")


@cache
def _version(engine: str, image: str, said: str) -> Version | None:
    try:
        table = flags(engine).get("version")
    except FileNotFoundError:
        return None
    if table is None:
        return None
    tag = re.search(table["tag"], image)
    text = said or table.get("images", {}).get(image) or (tag[1] if tag else "")
    return number(text)[: table["parts"]] if text else None


@dataclass(frozen=True)
class Range:
    """Versions of a key of `by_version:`, or of a rule: `from 0.12`, `below 0.15 or unknown`."""

    low: Version = ()
    high: Version | None = None
    unknown: bool = False

    @classmethod
    def of(cls, text: str) -> Range:
        found = RANGE.fullmatch(text.strip())
        if found is None or not any(found.groups()):
            raise ValueError(f"{text[:60]!r} is no range: `from 0.12`, `below 0.15 or unknown`")
        low, high = (number(part) if part else None for part in found.groups()[:2])
        return cls(low or (), high, found[3] is not None)

    def __contains__(self, version: Version | None) -> bool:
        if version is None:
            return self.unknown
        bound = bool(self.low) or self.high is not None
        return bound and version >= self.low and (self.high is None or version < self.high)


@dataclass(frozen=True)
class Span:
    """From the version that brought it to the first without; () and None: before, and after, those that are known."""

    since: Version = ()
    removed: Version | None = None

    def __contains__(self, version: Version) -> bool:
        return version >= self.since and (self.removed is None or version < self.removed)


Names = Mapping[str, tuple[Span, ...]]


@dataclass(frozen=True)
class Known:
    """The table of one engine."""

    versions: tuple[Version, ...]
    flags: Names
    variables: Names
    replaced: Mapping[str, str]  # flags that are gone, and what took their place

    def has(self, name: str, version: Version | None) -> bool:
        """Whether this version is known to have a flag or variable."""
        spans = (*self.flags.get(name, ()), *self.variables.get(name, ()))
        return version is not None and any(version in span for span in spans)


@cache
def known(engine: str) -> Known | None:
    """None for an engine without such a table."""
    path = FOLDER / f"{engine}-versions.yaml"
    if not path.is_file():
        return None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    table = yaml.load(path.read_text(encoding="utf-8"), loader)  # noqa: S506  (both are safe)
    versions = tuple(number(one) for one in table["versions"])
    replaced = table.get("replaced", {})
    return Known(versions, _names(table["flags"]), _names(table["variables"]), replaced)


def _names(groups: list[dict[str, Any]]) -> Names:
    found: dict[str, tuple[Span, ...]] = {}
    for name, span in _spans(groups):
        found[name] = (*found.get(name, ()), span)
    return found


def _spans(groups: list[dict[str, Any]]) -> Iterator[tuple[str, Span]]:
    for group in groups:
        since, removed = group.get("since"), group.get("removed")
        span = Span(number(since) if since else (), number(removed) if removed else None)
        yield from ((name, span) for name in group["names"])
