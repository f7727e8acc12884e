"""Where the lab keeps what is made once, and how a piece is made so that an interrupted one is never used."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import FilesWrong
from orchestrator.lab.command import remove_tree

SOCKET_PATH_LIMIT = 108  # sun_path, unix(7)
LONGEST_SOCKET = "docker/exec/containerd/containerd-debug.sock.ttrpc"


class Home:
    """`${ORCH_LAB_HOME:-~/.cache/orch/lab}`: images' logs, engine folders, our own docker engine, lab records."""

    def __init__(self, path: Path | None = None) -> None:
        chosen = path or Path(os.environ.get("ORCH_LAB_HOME") or "~/.cache/orch/lab")
        self.path = chosen.expanduser().absolute()
        if len(str(self.path / LONGEST_SOCKET)) >= SOCKET_PATH_LIMIT:
            raise FilesWrong(
                f"{self.path}: too long a path for the docker engine's sockets",
                hint="set ORCH_LAB_HOME to a shorter folder",
            )
        for name in ("tmp", "labs", "locks", "logs"):
            (self.path / name).mkdir(parents=True, exist_ok=True)

    def log(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.log"

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Held by one process at a time; released by the kernel when its holder dies."""
        with (self.path / "locks" / name).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def making(self, target: Path) -> Iterator[Path]:
        """Yield a folder to fill; it becomes `target` in one rename, or is removed when making it failed."""
        folder = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=self.path / "tmp"))
        folder.chmod(0o755)
        try:
            yield folder
            folder.rename(target)
        finally:
            if folder.exists():
                remove_tree(folder)

    def clear_leftovers(self) -> None:
        """Remove what interrupted runs left half made. Call while holding the setup lock."""
        for folder in (self.path / "tmp").iterdir():
            remove_tree(folder)

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.path).free
