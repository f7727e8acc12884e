"""All profiles, a user's own and those that ship: what each comes to, and which file says which value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import FilesWrong
from orchestrator.spec import shape, wording
from orchestrator.spec.library import Library, Merged
from orchestrator.spec.load import Document, Files
from orchestrator.spec.merge import is_secret, merge
from orchestrator.spec.models import Finding, Profile, ProfileFile
from orchestrator.spec.tree import Mark, Node

Path_ = tuple[str, ...]


@dataclass(frozen=True)
class Value:
    """One value of a profile, and where it stands."""

    path: str
    value: Any
    file: str
    line: int


@dataclass(frozen=True)
class Known:
    """A profile with its parents merged in. `profile` is None where something is wrong with it."""

    name: str
    chain: tuple[str, ...]  # files, its own first
    values: tuple[Value, ...]
    profile: Profile | None
    findings: tuple[Finding, ...]

    @property
    def common(self) -> bool:
        """A part that others build on: no model of its own."""
        return self.profile is not None and not self.profile.model


def names(root: Path) -> list[str]:
    """What there is, in the order of the alphabet."""
    return sorted(_library(Files(root)).names())


def known(name: str, root: Path) -> Known:
    """A profile by its name, or by its path from `root` on. FilesWrong where there is none."""
    files = Files(root)
    merged = _library(files).get(name, _NOWHERE, ("profile",))
    if merged is None:
        wrong = next(iter(files.errors), None)
        if wrong is None or wrong.file:
            return Known(name, (), (), None, tuple(files.errors))
        raise FilesWrong(wrong.message, hint=wrong.suggestion)
    profile = None if files.errors or merged.wrong else _profile(files, merged)
    values = tuple(_values(merged))
    chain = tuple(document.label for document in merged.chain)
    return Known(merged.short_name, chain, values, profile, tuple(files.errors))


def differences(first: Known, second: Known) -> Iterator[tuple[str, Value | None, Value | None]]:
    """What one says otherwise than the other; None: it says nothing there."""
    one = {value.path: value for value in first.values}
    other = {value.path: value for value in second.values}
    for path in dict.fromkeys([*one, *other]):
        left, right = one.get(path), other.get(path)
        if left is None or right is None or left.value != right.value:
            yield path, left, right


_NOWHERE: Document[Any] = Document(Path(), "", Node(Mark("", 0, 0)), {}, None)


def _library(files: Files) -> Library[ProfileFile]:
    return Library(files, "profiles", ProfileFile)


def _profile(files: Files, merged: Merged[ProfileFile]) -> Profile | None:
    data = {**merged.data, "name": merged.short_name}
    try:
        return Profile.model_validate_json(json.dumps(shape.strip(Profile, data)), strict=True)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            place = ".".join(str(part) for part in details["loc"])
            files.add(merged.chain[0], details["loc"], f"{place}: {details['msg']}")
        return None


@dataclass(frozen=True)
class _Origin:
    """Which file says a value, in the place of the value."""

    file: str
    line: int


def _values(merged: Merged[ProfileFile]) -> Iterator[Value]:
    """The values with their origins: the same merge, done once more with marks in the values' place."""
    origins: dict[str, Any] = {}
    for document in reversed(merged.chain):
        origins = merge(origins, _marked(document, document.said, ()), is_secret)
    for path, value in _leaves(merged.data, ()):
        origin = _below(origins, path)
        if path != ("version",):
            yield Value(wording.dotted(path), value, origin.file, origin.line)


def _marked(document: Document[Any], said: Any, path: Path_) -> Any:
    if isinstance(said, Mapping) and said:
        return {key: _marked(document, value, (*path, key)) for key, value in said.items()}
    if said is None:
        return None
    mark = wording.mark_of(document.node, path, key=True)
    return _Origin(document.label, mark.line)


def _leaves(data: Any, path: Path_) -> Iterator[tuple[Path_, Any]]:
    if isinstance(data, Mapping) and (data or not path):
        for key, value in data.items():
            yield from _leaves(value, (*path, key))
    elif isinstance(data, list) and any(isinstance(one, Mapping) for one in data):
        for number, one in enumerate(data):  # mounts: too long for a line together
            yield (*path, str(number)), one
    else:
        yield path, data


def _below(origins: Any, path: Path_) -> _Origin:
    """The origin of a leaf; what orch put in itself has none."""
    for key in path:
        origins = origins.get(key) if isinstance(origins, Mapping) else origins
    return origins if isinstance(origins, _Origin) else _Origin("", 0)
