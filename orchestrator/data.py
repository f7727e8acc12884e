"""Finds the YAML and templates that ship with orch, and the user's own that win over them.

In a checkout `profiles/`, `playbooks/` and `templates/` lie at the top; in a wheel under `packed/`.
`kinds/` lies in the package in both.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path, PurePosixPath

from orchestrator.errors import FilesWrong
from orchestrator.meant import did_you_mean

FOLDERS = ("kinds", "profiles", "playbooks", "templates")
STARTING_FILES = ("cluster.yaml", "inventory.yaml")
_PACKAGE = Path(__file__).resolve().parent


def packed(folder: str) -> Path:
    """Where the files of this folder that ship with orch are."""
    if folder not in FOLDERS:
        raise ValueError(f"{folder} is none of {FOLDERS}")
    if folder == "kinds":
        return _PACKAGE / "kinds"
    in_wheel = _PACKAGE / "packed" / folder
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent / folder


def starting_point() -> Path:
    """The folder with the cluster.yaml and inventory.yaml that people copy."""
    in_wheel = _PACKAGE / "packed"
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent


def find(folder: str, name: str, root: Path | None = None) -> Path:
    """The file `name` of a folder: beside cluster.yaml if it is there, else the one that ships."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\0" in name or not pure.parts:
        raise FilesWrong(f"{name!r} is not the name of a file in {folder}/")
    for place in _places(folder, root):
        if (place / pure).is_file():
            return place / pure
    hint = did_you_mean(name, sorted(listing(folder, root)))
    raise FilesWrong(f"no {folder}/{name}, neither beside cluster.yaml nor in orch", hint=hint)


def listing(folder: str, root: Path | None = None, suffix: str = "") -> dict[str, Path]:
    """All files of a folder by name, the user's own in the place of those that ship."""
    found: dict[str, Path] = {}
    for place in reversed(_places(folder, root)):
        for path in sorted(place.rglob(f"*{suffix}")):
            if path.is_file() and not path.name.startswith("."):
                found[path.relative_to(place).as_posix()] = path
    return found


def shadowed(root: Path, folders: tuple[str, ...] = FOLDERS) -> tuple[str, ...]:
    """Files that ship with orch and are hidden by the user's own of the same name."""
    return tuple(
        f"packed:{folder}/{name}"
        for folder in folders
        if len(_places(folder, root)) > 1
        for name in sorted(listing(folder))
        if (root / folder / name).is_file()
    )


def label(path: Path, root: Path | None = None) -> str:
    """How a file is called in front of the user: `packed:profiles/x.yaml`, or its path."""
    for folder in FOLDERS:
        place = packed(folder)
        if path.is_relative_to(place) and not _same(place, root, folder):
            return f"packed:{folder}/{path.relative_to(place).as_posix()}"
    return str(path)


@lru_cache(maxsize=64)
def read_template(name: str, root: Path | None = None) -> str:
    """The text of a template, as it was when it was first asked for: a run keeps to what it has planned.

    Loading a cluster's files forgets it.
    """
    return find("templates", name, root).read_text(encoding="utf-8")


def _places(folder: str, root: Path | None) -> list[Path]:
    """Where to look, in order."""
    place = packed(folder)
    if root is None or _same(place, root, folder) or not (root / folder).is_dir():
        return [place]
    return [root / folder, place]


@lru_cache(maxsize=64)
def _same(place: Path, root: Path | None, folder: str) -> bool:
    """Whether the user works in the checkout itself: then nothing is hidden by anything."""
    return root is not None and (root / folder).resolve() == place
