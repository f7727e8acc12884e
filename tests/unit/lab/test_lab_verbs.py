"""Which lab a verb means, and what it says where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli import root
from orchestrator.cli.errors import run_guarded
from orchestrator.lab import down as take
from orchestrator.lab import labs

NOBODY = "there is no lab rack on this machine"


@pytest.fixture(autouse=True)
def no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home with one lab's folder, and no docker engine to ask."""
    monkeypatch.setenv("ORCH_LAB_HOME", str(tmp_path))
    (tmp_path / "labs" / "ring").mkdir(parents=True)
    for module in (labs, take):
        monkeypatch.setattr(module, "running_engines", lambda home: [])


def orch(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    monkey = pytest.MonkeyPatch()
    monkey.setattr("sys.argv", ["orch", "lab", *words])
    code = run_guarded(root)
    monkey.undo()
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("down", "rack"),
        ("down", "--name", "rack"),
        ("down", "rack", "--name", "rack"),
        ("break", "spark-1", "reboot", "--name", "rack"),
        ("heal", "spark-1", "--name", "rack"),
    ],
)
def test_a_lab_that_is_not_there_is_two_and_those_that_are_are_named(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert orch(capsys, *words) == (2, f"error: {NOBODY}\nhint: there are: ring\n")


@pytest.mark.parametrize("words", [("down", "a", "--name", "b"), ("up", "--name", "b", "a")])
def test_two_names_are_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, said = orch(capsys, *words)
    assert (code, said) == (2, "error: which lab: a or b?\nhint: say it once\n")


@pytest.mark.parametrize("name", ["a/b", "..", "", "x" * 300, "a\nb"])
@pytest.mark.parametrize("verb", [("down", "--name"), ("heal", "spark-1", "--name"), ("down",)])
def test_what_can_name_no_lab_is_two(
    verb: tuple[str, ...], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = orch(capsys, *verb, name)
    assert code == 2
    assert f"error: {name!r} can't name a lab" in said
