"""`orch runs` and `orch completion`, through click, on journals that a story wrote."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli import VERBS, root
from orchestrator.cli.completion import HOW, completion
from orchestrator.cli.runs import runs
from orchestrator.errors import FilesWrong
from orchestrator.run.journal import Journal, runs_folder
from orchestrator.table import table
from tests.synthetic import Story


@pytest.fixture
def past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs: done, failed, cut short."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    told = {"20260101T000000-aaaa": "succeed", "20260102T000000-bbbb": "fail"}
    for name, tell in told.items():
        with closing(Journal(name)) as journal:
            getattr(Story(3, [journal]), tell)()
    with closing(Journal("20260103T000000-cccc")) as journal:
        Story(3, [journal]).until("image")
    return runs_folder()


def call(*words: str) -> Result:
    return CliRunner().invoke(runs, words, catch_exceptions=False)


def test_runs_are_listed_with_how_they_ended(past: Path) -> None:
    lines = call().output.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [
        "20260103T000000-cccc",
        "20260102T000000-bbbb",
        "20260101T000000-aaaa",
    ]
    assert "cut short" in lines[1]
    assert "failed (1)" in lines[2]
    assert lines[3].endswith("done        24s")


def test_the_list_as_json(past: Path) -> None:
    told = json.loads(call("--json", "-n", "2").output)
    assert told["version"] == 1
    assert [(run["outcome"], run["exit_code"]) for run in told["runs"]] == [
        ("cut short", None),
        ("failed", 1),
    ]
    assert told["runs"][1]["verb"] == "up"


def test_no_runs_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert "no runs yet" in call().output
    assert json.loads(call("--json").output)["runs"] == []


def test_show_has_times_the_critical_path_and_the_failure(past: Path) -> None:
    text = call("show", "20260102").output
    assert "vl/image/spark-1      changed  10s   31s" in text
    assert "critical path: 41s of 41s" in text
    assert "31s  75%  vl/image/spark-1" in text
    assert "hint      look at `image:` in profiles/vl.yaml" in text
    assert "5 steps had nothing to do" in text
    assert "vl/reach/spark-2 " not in text
    assert "vl/reach/spark-2 " in call("show", "20260102", "--all").output


def test_show_as_json_has_what_the_document_says(past: Path) -> None:
    told = json.loads(call("show", "20260102", "--json").output)
    assert told["failures"] == ["vl/image/spark-2", "vl/image/spark-3"]
    assert told["critical_path"][-1] == {"id": "vl/image/spark-1", "seconds": 31.0, "idle": 0.0}
    failed = next(step for step in told["steps"] if step["id"] == "vl/image/spark-2")
    assert failed["hint"] == "look at `image:` in profiles/vl.yaml"
    assert failed["started"] == 10.4


def test_a_run_that_goes_on_is_running_and_is_not_pruned(past: Path) -> None:
    with closing(Journal("20260104T000000-dddd")) as journal:
        Story(1, [journal]).begin()
        assert "running" in call().output
        assert call("prune", "--keep", "0").output == "3 deleted\n"
        assert [path.stem for path in past.glob("*.jsonl")] == ["20260104T000000-dddd"]


def test_an_unknown_run_is_a_usage_error(past: Path) -> None:
    with pytest.raises(FilesWrong, match="no run 'x'") as caught:
        call("show", "x")
    assert caught.value.exit_code == 2


def test_columns_are_aligned_by_what_is_seen() -> None:
    lines = list(table(("A", "B"), [["語", "x"], [("long", "red"), "y"]]))
    assert [line.replace("\x1b[2m", "").replace("\x1b[0m", "") for line in lines[:2]] == [
        "A     B",
        "語    x",
    ]


@pytest.mark.parametrize("shell", sorted(HOW))
def test_completion_is_a_script_that_the_shell_reads(shell: str) -> None:
    text = CliRunner().invoke(completion, [shell], catch_exceptions=False).output
    assert "_ORCH_COMPLETE" in text
    if shutil.which(shell) and shell != "fish":
        done = subprocess.run([shell, "-n"], input=text.encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


def test_verbs_and_runs_are_completed(past: Path) -> None:
    env = {"_ORCH_COMPLETE": "bash_complete", "COMP_WORDS": "orch runs show 20260102"}
    shown = CliRunner().invoke(root, [], env={**env, "COMP_CWORD": "3"}, prog_name="orch")
    assert shown.output.strip() == "plain,20260102T000000-bbbb"


def test_tab_on_the_first_word_gives_all_verbs_and_imports_none() -> None:
    env = {"_ORCH_COMPLETE": "bash_complete", "COMP_WORDS": "orch ", "COMP_CWORD": "1"}
    shown = CliRunner().invoke(root, [], env=env, prog_name="orch").output.splitlines()
    assert shown == [f"plain,{name}" for name in sorted(VERBS)]


def test_every_verb_has_a_module_and_a_line_of_help() -> None:
    assert {"runs", "completion", "status", "logs"} <= VERBS.keys()
