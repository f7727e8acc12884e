"""Which model server a command or an image is: how people start them by hand (servers.yaml). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any

import yaml


@dataclass(frozen=True)
class Known:
    """A server as its words begin: `vllm serve`, `python3 -m sglang.launch_server`, `rpc-server`."""

    engine: str
    program: tuple[str, ...]  # what to type for the program itself
    rest: tuple[str, ...]  # the words after
    worker: bool = False  # lends its GPU and has no API of its own
    module: bool = False


@cache
def table() -> dict[str, Any]:
    """servers.yaml."""
    text = files("orchestrator.knowledge").joinpath("servers.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def basename(word: str) -> str:
    return PurePosixPath(word).name


def known(words: Sequence[str]) -> Known | None:
    """The server whose words begin here, if they are one's."""
    if not words:
        return None
    for engine, one in table()["servers"].items():
        found = _program(engine, one, words) or _module(engine, one, words)
        if found is not None:
            return found
    return None


def _program(engine: str, one: dict[str, Any], words: Sequence[str]) -> Known | None:
    name, rest = basename(words[0]), tuple(words[1:])
    if name in one.get("workers", ()):
        return Known(engine, (words[0],), rest, worker=True)
    if name not in one["programs"]:
        return None
    verbs = one.get("verbs", ())
    if verbs and rest and rest[0] in verbs:
        return Known(engine, (words[0],), rest[1:])
    # `trtllm-serve MODEL` has its verb in its name
    bare = not verbs or name.endswith(tuple(f"-{verb}" for verb in verbs))
    return Known(engine, (words[0],), rest) if bare else None


def _module(engine: str, one: dict[str, Any], words: Sequence[str]) -> Known | None:
    python = basename(words[0]).startswith("python")
    if not python or len(words) < 3 or words[1] != "-m" or words[2] not in one.get("modules", ()):
        return None
    rest = tuple(words[3:])
    if rest and rest[0] in one.get("verbs", ()):
        rest = rest[1:]
    return Known(engine, tuple(words[:3]), rest, module=True)


def ray_start(words: Sequence[str]) -> bool:
    """`ray start …`: a part of a gang over Ray."""
    return len(words) > 1 and basename(words[0]) in table()["ray"] and words[1] == "start"


def repository(image: str) -> str:
    """The image's name without its tag and digest."""
    name = image.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


def entrypoint(image: str) -> tuple[str, tuple[str, ...]] | None:
    """Engine and words of an image whose own entrypoint is the server."""
    name = repository(image).removeprefix("docker.io/")
    for engine, one in table()["servers"].items():
        if name in one["images"]:
            return engine, tuple(one["images"][name])
    return None


def engine_of_image(image: str) -> str | None:
    """Which engine an image is for, by its name."""
    name = repository(image).lower()
    for engine, one in table()["servers"].items():
        if any(part in name for part in one["like"]):
            return str(engine)
    return None


def serves(words: Sequence[str], image: str) -> str:
    """The engine that a container runs, as far as its own words or its image tell; else nothing.

    A shell's text is only looked at for the names: `sh -c "exec vllm serve …"`.
    """
    for at in range(len(words)):
        found = known(words[at:])
        if found is not None:
            return found.engine
    if ray_start(words):
        return engine_of_image(image) or "ray"
    if words and basename(words[0]) in table()["shells"]:
        text = " ".join(words[1:]).split()
        for at in range(len(text)):
            found = known(text[at:])
            if found is not None:
                return found.engine
            if ray_start(text[at:]):
                return engine_of_image(image) or "ray"
    own = entrypoint(image)
    return own[0] if own and words[: len(own[1])] == list(own[1]) else ""
