"""The reference pages are those that scripts/reference.py makes today."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli import VERBS
from orchestrator.errors import OrchError
from orchestrator.spec.schema import MODELS
from scripts.reference import EXIT_CODES, PAGES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "run scripts/reference.py"


def test_every_verb_and_file_is_there() -> None:
    commands, files = PAGES["cli.md"](), PAGES["files.md"]()
    assert all(f"\n## orch {verb}\n" in commands for verb in VERBS)
    assert all(f"\n## {name}\n" in files for name in MODELS)


def codes(error: type[OrchError]) -> set[int]:
    return {error.exit_code}.union(*(codes(one) for one in error.__subclasses__()))


def test_every_exit_code_is_told() -> None:
    assert {code for code, *_ in EXIT_CODES} == codes(OrchError) | {0}
