"""Makes what labs need on this machine, each piece once: engine, host image, vLLM, llama.cpp, model."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from orchestrator.lab.docker import Docker, running_engines, start_own_engine
from orchestrator.lab.engine_folder import compile_and_try, ensure_engine_folder, host_python
from orchestrator.lab.home import SETUP, Home
from orchestrator.lab.image import base_tag, codename, ensure_host_image, release
from orchestrator.lab.llama_folder import ensure_llama_folder
from orchestrator.lab.machine import ensure_packages
from orchestrator.lab.model_files import ensure_model
from orchestrator.lab.progress import Progress
from orchestrator.lab.recipe import ENGINES


@dataclass(frozen=True)
class Pieces:
    """Everything that hosts are made from; an engine that was not asked for is None."""

    docker: Docker
    release: str
    image: str
    engine: Path | None
    llama: Path | None
    models: Path


def set_up(
    home: Home, progress: Progress, engines: Collection[str] = ENGINES, asked: str = ""
) -> Pieces:
    """Return the pieces of hosts with these engines, making those that are missing; cheap when none is.

    `asked` is the hosts' release, this machine's own where it is empty.
    """
    name = codename(asked)  # an unknown release is refused before anything is installed
    ensure_packages(home, progress)
    with home.lock(SETUP, progress):
        home.clear_leftovers()
        docker = ensure_engine(home, progress)
        engine = None
        # these do not need each other; the interpreter's version is in the recipe
        with ThreadPoolExecutor(max_workers=4) as pool:
            image_job = pool.submit(ensure_host_image, docker, home, progress, name)
            model_job = pool.submit(ensure_model, home, progress)
            wanted = "llamacpp" in engines
            llama_job = pool.submit(ensure_llama_folder, home, progress) if wanted else None
            if "vllm" in engines:
                engine = ensure_engine_folder(home, progress, release(name).python)
            llama = llama_job.result() if llama_job is not None else None
            image, models = image_job.result(), model_job.result()
        if engine is not None:
            engine = _tried(docker, home, progress, image, name, engine)
    return Pieces(docker, name, image, engine, llama, models)


def _tried(
    docker: Docker, home: Home, progress: Progress, image: str, name: str, engine: Path
) -> Path:
    """The engine folder for the interpreter that the image really has, once it has started there."""
    python = host_python(docker, image)
    if python != release(name).python:
        progress.note(
            f"the host image's Python is {python}, not {release(name).python} as expected"
        )
        engine = ensure_engine_folder(home, progress, python)
    compile_and_try(docker, home, progress, image, base_tag(name), engine)
    return engine


def ensure_engine(home: Home, progress: Progress) -> Docker:
    """The engine for a new lab: ours when it runs, else the machine's, else ours is started."""
    running = running_engines(home)
    if running:
        return running[0]
    with progress.timed("our own docker engine"):
        return start_own_engine(home)
