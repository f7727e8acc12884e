"""The lab's model, made on the spot from a seed and labelled as the random one it is."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.errors import Failed
from orchestrator.lab.command import remove_tree, run_logged
from orchestrator.lab.docker import Docker
from orchestrator.lab.engine_folder import find_pip
from orchestrator.lab.home import Home
from orchestrator.lab.progress import Progress
from orchestrator.lab.recipe import content_hash, package_folder, recipe
from orchestrator.lab.tree import ENGINE

EXPECTED = (
    "tiny-llama/config.json",
    "tiny-llama/model.safetensors",
    "tiny-llama/tokenizer.json",
    "tiny.gguf",
)


def ensure_model(docker: Docker, home: Home, progress: Progress, image: str, engine: Path) -> Path:
    """Return the folder with `tiny-llama/` and `tiny.gguf`, making both when they are not there."""
    target = (
        home.path / f"model-{content_hash(recipe().model, package_folder('model'), engine.name)}"
    )
    if target.exists():
        return target
    with home.lock("model"):
        if target.exists():
            return target
        with progress.timed("tiny random model"), home.making(target) as folder:
            _make(docker, home, image, engine, folder)
    return target


def _make(docker: Docker, home: Home, image: str, engine: Path, folder: Path) -> None:
    log, pip, writer = home.log("model"), find_pip(""), folder / "gguf"
    run_logged(
        [pip.python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check",
         "--no-deps", "--no-warn-conflicts", "--root-user-action=ignore", "--only-binary=:all:",
         "--target", str(writer), recipe().model.requirement],
        log,
    )  # fmt: skip
    docker(
        "run", "--rm", "--network", "none", "--user", f"{os.getuid()}:{os.getgid()}",
        "--env", "HOME=/tmp", "--env", "USER=orch", "--env", f"PYTHONPATH={ENGINE}:/gguf",
        "--env", "HF_HUB_OFFLINE=1", "--env", "PYTHONDONTWRITEBYTECODE=1",
        "--volume", f"{engine}:{ENGINE}:ro", "--volume", f"{writer}:/gguf:ro",
        "--volume", f"{folder}:/out",
        "--volume", f"{package_folder('model')}:/model:ro",
        image, "python3", "/model/make_tiny.py", "/out", timeout=600,
    )  # fmt: skip
    remove_tree(writer)
    missing = [name for name in EXPECTED if not (folder / name).exists()]
    if missing:
        raise Failed(f"the tiny model lacks {', '.join(missing)}")
