"""Reads recipe.yaml: what the lab's pieces are made of, as values that can be hashed."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

ENGINES = ("vllm", "llamacpp")  # what hosts of a lab can serve with


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Release(_Part):
    components: str
    python: str
    packages: tuple[str, ...] = ()


class HostImage(_Part):
    releases: dict[str, Release]
    packages: tuple[str, ...]
    masked: tuple[str, ...]


class Engine(_Part):
    requirements: tuple[str, ...]
    probe: str
    extra_index: str
    remove: tuple[str, ...]
    alias: dict[str, str]
    launchers: dict[str, str]


class Llama(_Part):
    requirement: str
    folder: str
    architectures: tuple[str, ...]


class Model(_Part):
    requirements: tuple[str, ...]


class Rehearse(_Part):
    heads: int
    layers: int
    prompt_tokens: int
    vllm_ranks: int


class Vm(_Part):
    architectures: tuple[str, ...]
    machine: dict[str, str]
    release: str
    memory_mib: int
    cpus: int
    disk_spare_mib: int
    packages: tuple[str, ...]
    modules: tuple[str, ...]
    initrd: tuple[str, ...]
    masked: tuple[str, ...]
    not_rehearsed: tuple[str, ...]


class Recipe(_Part):
    version: int
    machine: dict[str, str]
    machine_alternatives: dict[str, str]
    host_image: HostImage
    engine: Engine
    llama: Llama
    model: Model
    rehearse: Rehearse
    vm: Vm
    not_rehearsed: tuple[str, ...]


def package_folder(name: str) -> Path:
    """A folder of data files beside this module; the package is never run from a zip."""
    return Path(str(files("orchestrator.lab").joinpath(name)))


@cache
def recipe() -> Recipe:
    return Recipe.model_validate(yaml.safe_load(package_folder("recipe.yaml").read_text()))


def content_hash(*parts: Any) -> str:
    """Twelve hex digits that change when any part does; a Path stands for what is in it."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            for file in sorted(_files(part)):
                digest.update(f"{file.name}\0".encode() + file.read_bytes())
        elif isinstance(part, BaseModel):
            digest.update(part.model_dump_json().encode())
        else:
            digest.update(json.dumps(part, sort_keys=True).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:12]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [f for f in path.rglob("*") if f.is_file() and "__pycache__" not in f.parts]
