"""Makes what labs need on this machine, each piece once: engine, host image, vLLM, model."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from orchestrator.lab.docker import Docker, running_engines, start_own_engine
from orchestrator.lab.engine_folder import compile_and_try, ensure_engine_folder, host_python
from orchestrator.lab.home import Home
from orchestrator.lab.image import ensure_host_image, release
from orchestrator.lab.llama_folder import ensure_llama_folder
from orchestrator.lab.machine import ensure_packages
from orchestrator.lab.model_files import ensure_model
from orchestrator.lab.progress import Progress


@dataclass(frozen=True)
class Pieces:
    """Everything that hosts are made from."""

    docker: Docker
    image: str
    engine: Path
    llama: Path
    models: Path


def set_up(home: Home, progress: Progress) -> Pieces:
    """Return all pieces, making those that are missing; cheap when none is."""
    release()  # an unknown release is refused before anything is installed
    ensure_packages(home, progress)
    with home.lock("setup", progress):
        home.clear_leftovers()
        docker = ensure_engine(home, progress)
        # these do not need each other; the interpreter's version is in the recipe
        with ThreadPoolExecutor(max_workers=3) as pool:
            image_job = pool.submit(ensure_host_image, docker, home, progress)
            engine_job = pool.submit(ensure_engine_folder, home, progress, release().python)
            llama_job = pool.submit(ensure_llama_folder, home, progress)
            image, engine, llama = image_job.result(), engine_job.result(), llama_job.result()
        python = host_python(docker, image)
        if python != release().python:
            progress.note(
                f"the host image's Python is {python}, not {release().python} as expected"
            )
            engine = ensure_engine_folder(home, progress, python)
        compile_and_try(docker, home, progress, image, engine)
        models = ensure_model(docker, home, progress, image, engine)
    return Pieces(docker, image, engine, llama, models)


def ensure_engine(home: Home, progress: Progress) -> Docker:
    """The engine for a new lab: ours when it runs, else the machine's, else ours is started."""
    with home.lock("docker"):
        pass  # another process may just be stopping ours
    running = running_engines(home)
    if running:
        return running[0]
    with progress.timed("our own docker engine"):
        return start_own_engine(home)
