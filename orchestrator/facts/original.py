"""Why here: a file of a model that a patch is for; offline it is not known, and rendering says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.facts.file import ReadFile
from orchestrator.script import Result, Script


@dataclass(frozen=True)
class Original:
    """Its bytes; None where there is no such file. `known` is false where no host was asked."""

    content: bytes | None
    known: bool = True


@dataclass(frozen=True)
class ReadOriginal:
    """One file of at most a mebibyte."""

    path: str

    def ask(self) -> Script:
        return ReadFile(self.path).ask()

    def parse(self, results: Mapping[str, Result]) -> Original:
        return Original(ReadFile(self.path).parse(results))
