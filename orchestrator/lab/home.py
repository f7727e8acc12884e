"""Where the lab keeps what is made once; a piece whose making was interrupted is never used."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.lab.command import remove_tree
from orchestrator.lab.progress import Progress

SETUP = "setup"  # the lock of who makes pieces of labs, or stops the engine that they are made in


class Home:
    """`${ORCH_LAB_HOME:-~/.cache/orch/lab}`: engine folders, our docker engine, lab records."""

    def __init__(self, path: Path | None = None) -> None:
        chosen = path or Path(os.environ.get("ORCH_LAB_HOME") or "~/.cache/orch/lab")
        self.path = chosen.expanduser().absolute()
        for name in ("tmp", "labs", "locks", "logs"):
            (self.path / name).mkdir(parents=True, exist_ok=True)

    def log(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.log"

    @contextmanager
    def lock(self, name: str, progress: Progress | None = None) -> Iterator[None]:
        """Held by one process at a time; released by the kernel when its holder dies."""
        with (self.path / "locks" / name).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if progress is not None:
                    progress.note(f"waiting for another `orch lab` to finish ({name})")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def making(self, target: Path) -> Iterator[Path]:
        """Yield a folder to fill; it becomes `target` in one rename, or is removed on failure."""
        folder = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=self.path / "tmp"))
        folder.chmod(0o755)
        try:
            yield folder
            folder.rename(target)
        finally:
            if folder.exists():
                remove_tree(folder)

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """A folder that is gone afterwards."""
        folder = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=self.path / "tmp"))
        try:
            yield folder
        finally:
            remove_tree(folder)

    def clear_leftovers(self) -> None:
        """Remove what interrupted runs left half made. Call while holding the setup lock."""
        for folder in (self.path / "tmp").iterdir():
            remove_tree(folder)

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.path).free


def gib(size: int) -> str:
    return f"{size / 1024**3:.1f} GiB"
