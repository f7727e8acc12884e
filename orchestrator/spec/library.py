"""Kinds and profiles by name, with what they extend merged in; the user's own win."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from orchestrator import data as shipped
from orchestrator.errors import FilesWrong
from orchestrator.meant import did_you_mean
from orchestrator.spec import overrides as sets
from orchestrator.spec.load import Document, Files, M, Path_, expanded, is_there
from orchestrator.spec.merge import is_secret, merge

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}")
_MAX_CHAIN = 16


@dataclass(frozen=True)
class Merged(Generic[M]):
    """A file and all that it extends, as one mapping; the file itself comes first in `chain`."""

    name: str
    data: dict[str, Any]
    chain: tuple[Document[M], ...]

    @property
    def short_name(self) -> str:
        """What it is called where a path would not do: `mine` for `./mine.yaml`."""
        return short_name(self.name)

    @property
    def wrong(self) -> bool:
        return any(document.model is None or document.wrong for document in self.chain)


class Library(Generic[M]):
    """A folder of files of one model, read on demand and once."""

    def __init__(
        self,
        files: Files,
        folder: str,
        model: type[M],
        overrides: Sequence[sets.Override] = (),
    ) -> None:
        self._files = files
        self._folder = folder
        self._what = folder.rstrip("s")
        self._model = model
        self._overrides = tuple(overrides)
        self._documents: dict[str, Document[M] | None] = {}
        self._merged: dict[str, Merged[M] | None] = {}

    def get(self, name: str, blame: Document[Any], at: Path_) -> Merged[M] | None:
        """The file of that name with its parents; None after a finding at `blame`."""
        if self._document(name, blame, at) is None:
            return None
        if name not in self._merged:
            self._merged[name] = self._merge(name, blame, at)
        return self._merged[name]

    def documents(self) -> Mapping[str, Document[M]]:
        """All that were read, by name; a path by its last part as well."""
        found = {name: one for name, one in self._documents.items() if one is not None}
        return {**{short_name(name): one for name, one in found.items()}, **found}

    def names(self) -> list[str]:
        """What there is to choose from."""
        found = shipped.listing(self._folder, self._files.root, ".yaml")
        return [name.removesuffix(".yaml") for name in found]

    def _merge(self, name: str, blame: Document[Any], at: Path_) -> Merged[M] | None:
        chain: list[Document[M]] = []
        names: list[str] = []
        following: str | None = name
        while following is not None:
            if following in names or len(names) >= _MAX_CHAIN:
                way = " → ".join([*names, following])
                self._files.add(chain[-1], ("extends",), f"extends itself: {way}")
                return None
            document = self._document(following, blame, at)
            if document is None:
                return None
            chain.append(document)
            names.append(following)
            parent = document.data.get("extends")
            following = parent if isinstance(parent, str) else None
            blame, at = document, ("extends",)
        merged: dict[str, Any] = {}
        for document in reversed(chain):
            merged = merge(merged, self._anchored(document), is_secret)
        merged.pop("extends", None)
        _default_context(merged, chain)
        return Merged(name, merged, tuple(chain))

    def _document(self, name: str, blame: Document[Any], at: Path_) -> Document[M] | None:
        if name in self._documents and self._documents[name] is not None:
            return self._documents[name]
        path = self._path(name)
        if path is None:
            hint = did_you_mean(name, self.names())
            self._files.add(blame, at, f"there is no {self._what} {name[:60]!r}", hint)
            return None
        if name not in self._documents:
            self._documents[name] = self._read(name, path)
        return self._documents[name]

    def _path(self, name: str) -> Path | None:
        """A name is looked up in the folders; `./my.yaml` is a path from cluster.yaml on."""
        if name.startswith(("./", "../", "/", "~/")) and name.endswith(".yaml"):
            path = self._files.root / expanded(name)
            return path if is_there(path) else None
        if not _NAME.fullmatch(name):
            return None
        try:
            return shipped.find(self._folder, f"{name}.yaml", self._files.root)
        except FilesWrong:
            return None

    def _read(self, name: str, path: Path) -> Document[M] | None:
        node = self._files.read(path)
        if node is None:
            return None
        for override in self._overrides:
            if override.path.startswith(f"{short_name(name)}."):
                rest = override.path.removeprefix(f"{short_name(name)}.")
                node = sets.one(self._files, node, self._model, override, rest)
        return self._files.check(path, node, self._model)

    def _anchored(self, document: Document[M]) -> dict[str, Any]:
        """What the document says; its relative paths start at the file itself."""
        said = dict(document.said)
        base = document.path.parent.absolute()
        mounts = said.get("mounts")
        if isinstance(mounts, list):
            said["mounts"] = [_mount(mount, base, self._files.root) for mount in mounts]
        if isinstance(said.get("build"), dict):
            keys = ("dockerfile", "context")
            said["build"] = {
                key: anchor(value, base) if key in keys else value
                for key, value in said["build"].items()
            }
        if isinstance(said.get("compose"), dict) and "send" in said["compose"]:
            said["compose"] = {**said["compose"], "send": anchor(said["compose"]["send"], base)}
        if isinstance(said.get("secrets"), dict):
            said["secrets"] = {
                name: anchored_secret(one, base) for name, one in said["secrets"].items()
            }
        if "api_key" in said:
            said["api_key"] = anchored_secret(said["api_key"], base)
        return said


def short_name(name: str) -> str:
    return Path(name).stem if "/" in name else name


def anchor(value: Any, base: Path) -> Any:
    """A path that starts at a file's folder, unless it is absolute or in a home."""
    if not isinstance(value, str) or value.startswith(("/", "~")):
        return value
    return str(base / value)


def anchored_secret(secret: Any, base: Path) -> Any:
    """A secret's file starts at the file that names it."""
    if isinstance(secret, dict) and "file" in secret:
        return {**secret, "file": anchor(secret["file"], base)}
    return secret


def _default_context(merged: dict[str, Any], chain: Sequence[Document[Any]]) -> None:
    """A build's context is the folder of the file that asks for it."""
    build = merged.get("build")
    if isinstance(build, dict) and "context" not in build:
        asker = next((one for one in chain if one.said.get("build")), chain[0])
        build["context"] = str(asker.path.parent.absolute())


def _mount(mount: Any, base: Path, root: Path) -> Any:
    """What is brought along lies beside the profile, or else beside cluster.yaml."""
    if not isinstance(mount, dict) or not mount.get("sync"):
        return mount
    source = mount.get("from")
    if not isinstance(source, str) or source.startswith(("/", "~")):
        return mount
    beside = base / source
    return {**mount, "from": str(beside if is_there(beside) else root.absolute() / source)}
