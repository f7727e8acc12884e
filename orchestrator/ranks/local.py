"""Files of the user's own machine that ranks mount (`sync: true`): told apart by content, packed when they are sent.

They are part of what the files say, as templates are: read here, and nowhere at a host.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from orchestrator.errors import FilesWrong

LARGEST = 128 * 1024 * 1024  # what goes through SSH in one script; weights go another way
IGNORED = frozenset({"__pycache__", ".git", ".DS_Store"})
ABSENT = "absent"


def digest(source: str) -> str:
    """Sum of names, modes and contents; "absent" where there is nothing (`orch up` refuses that)."""
    path = Path(source).expanduser()
    if not path.exists():
        return ABSENT
    stats = ((one, one.stat()) for one in files_below(path))
    return _summed(path, tuple((str(one), s.st_size, s.st_mtime_ns, s.st_mode) for one, s in stats))


@lru_cache(maxsize=64)
def _summed(path: Path, listing: tuple[tuple[str, int, int, int], ...]) -> str:
    total = sum(size for _, size, _, _ in listing)
    if total > LARGEST:
        raise FilesWrong(
            f"{path} is {total // 1024**2} MiB: `sync: true` is for {LARGEST // 1024**2} MiB and less",
            hint="bring it to the hosts yourself, and mount it without `sync`",
        )
    found = hashlib.sha256()
    for name, size, _, mode in listing:
        where = Path(name).relative_to(path) if Path(name) != path else Path(path.name)
        found.update(f"{where}\0{size}\0{mode & 0o111}\0".encode())
        found.update(Path(name).read_bytes())
    return found.hexdigest()[:12]


def packed(source: str) -> bytes:
    """A tar with one entry `it`: the file, or the folder with all below it."""
    path = Path(source).expanduser()
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        if path.is_file():
            add(tar, path, "it")
            return made.getvalue()
        folder = tarfile.TarInfo("it")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        for one in files_below(path):
            add(tar, one, f"it/{one.relative_to(path).as_posix()}")
    return made.getvalue()


def add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    """One regular file, as root's."""
    entry = tar.gettarinfo(path, name)
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    with path.open("rb") as file:
        tar.addfile(entry, file)


def files_below(path: Path) -> Iterator[Path]:
    """Regular files, in a fixed order; links are followed, caches left out."""
    if path.is_file():
        yield path
        return
    for one in sorted(path.rglob("*")):
        if one.is_file() and not IGNORED & set(one.relative_to(path).parts):
            yield one
