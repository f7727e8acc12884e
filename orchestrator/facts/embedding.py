"""An embedding server has no tokens to give: what proves it is a vector with something in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from orchestrator.errors import Unknown
from orchestrator.facts.completion import Answer, post, why
from orchestrator.facts.probe import json_of, reading, whole
from orchestrator.question import question
from orchestrator.script import Request, Result

INPUT = "hello"


@question
class Embedding:
    """The vector of one word. `key`: the name of the secret that is the API key."""

    port: int
    model: str
    address: str = "127.0.0.1"
    key: str = ""
    timeout: float = 120

    def ask(self) -> Request:
        return post(self, "/v1/embeddings", {"model": self.model, "input": INPUT})

    def parse(self, results: Mapping[str, Result]) -> Answer:
        result = results.get("http")
        if result is None:
            raise Unknown("embedding: no answer")
        if result.rc != 200:
            return Answer(0, status=result.rc, why=why(result))
        return from_reply(result.text)


def from_reply(text: str) -> Answer:
    """The first vector. Zeros, NaN, or nothing at all are no answer, whatever the status."""
    try:
        said = json_of(text)
    except ValueError as broken:
        raise Unknown(f"embedding: the reply can't be read: {text[:80]!r}") from broken
    with reading("embedding"):
        vectors = [one["embedding"] for one in said["data"]]
        used = whole((said.get("usage") or {}).get("prompt_tokens", 0))
    if not vectors or not _is_vector(vectors[0]):
        return Answer(0, status=200, why="the reply holds no vector")
    return Answer(max(used, 1), f"a vector of {len(vectors[0])} numbers", status=200)


def _is_vector(found: Any) -> bool:
    numbers = found if isinstance(found, list) else []
    return all(type(one) in (int, float) and math.isfinite(one) for one in numbers) and any(numbers)
