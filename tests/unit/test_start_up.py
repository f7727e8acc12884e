"""`orch --help` is quick: it loads no verb, and none of the libraries that take their time."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli import VERBS

ROOT = Path(__file__).parents[2]
SLOW = ("paramiko", "fabric", "invoke", "pydantic", "rich", "jinja2", "yaml", "httpx", "tenacity")
CONNECTING = ("paramiko", "fabric", "invoke", "httpx")
LIMIT_S = 0.15
ASK = """
import sys
from orchestrator.cli import main
sys.argv = ["orch", *sys.argv[1:]]
try:
    main()
finally:
    print("LOADED", *sorted(sys.modules))
"""


def loaded(*words: str) -> set[str]:
    argv = [sys.executable, "-c", ASK, *words]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.rpartition("LOADED")[2].split())


def test_help_loads_no_library_but_click() -> None:
    found = loaded("--help")
    assert "click" in found
    assert found.isdisjoint(SLOW)
    assert {name for name in found if name.startswith("orchestrator")} == {
        "orchestrator", "orchestrator.cli", "orchestrator.cli.errors", "orchestrator.errors",
    }  # fmt: skip


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_help_of_a_verb_opens_no_library_for_connections(verb: str) -> None:
    assert loaded(verb, "--help").isdisjoint(CONNECTING)


def cpu_seconds(words: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_takes_under_150_ms() -> None:
    """CPU time, and the best of a few: what else the machine does is not what is measured."""
    words = [sys.executable, "-m", "orchestrator.cli", "--help"]
    assert min(cpu_seconds(words) for _ in range(5)) < LIMIT_S


def test_a_run_with_nothing_to_do_loads_nothing_that_does_something() -> None:
    """What carries a plan out, and what comes after it, is loaded then."""
    ask = "import sys, orchestrator.cli.drive; print(*sorted(sys.modules))"
    argv = [sys.executable, "-c", ask]
    found = subprocess.run(
        argv, capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout.split()
    assert set(found).isdisjoint(("jinja2", "rich", "tenacity", "orchestrator.ranks.build"))
    assert set(found).isdisjoint(("orchestrator.run.converge", "orchestrator.facts"))
    assert "orchestrator.run.survey" in found
