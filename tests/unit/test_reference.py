"""The reference pages are those that scripts/reference.py makes today."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from orchestrator.cli import VERBS
from orchestrator.errors import OrchError
from orchestrator.spec.schema import MODELS
from scripts.reference import EXIT_CODES, PAGES

ROOT = Path(__file__).parents[2]


def test_current() -> None:
    """In a process of its own: click keeps the help option that a command was first asked for."""
    words = [sys.executable, str(ROOT / "scripts/reference.py"), "--check"]
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr


def test_every_verb_and_file_is_there() -> None:
    commands, files = PAGES["cli.md"](), PAGES["files.md"]()
    assert all(f"\n## orch {verb}\n" in commands for verb in VERBS)
    assert all(f"\n## {name}\n" in files for name in MODELS)


def codes(error: type[OrchError]) -> set[int]:
    return {error.exit_code}.union(*(codes(one) for one in error.__subclasses__()))


def test_every_exit_code_is_told() -> None:
    assert {code for code, *_ in EXIT_CODES} == codes(OrchError) | {0}
