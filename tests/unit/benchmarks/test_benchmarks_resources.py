"""The twenty resources: made, found again, and a drift is seen."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from benchmarks import resources
from benchmarks.resources import RESOURCES, Resource, apply, check, script, state_hash
from orchestrator.spec.playbook import PlaybookFile


def shell(home: Path, text: str) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        ["/bin/sh", "-c", text], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    assert shell(home, script()).stdout == "changed=20\n"
    return home


def test_there_are_twenty_with_names_of_their_own() -> None:
    assert len({one.name for one in RESOURCES}) == 20


def test_a_second_run_changes_nothing(settled: Path) -> None:
    assert shell(settled, script()).stdout == "changed=0\n"


@pytest.mark.parametrize("one", RESOURCES, ids=lambda one: one.name)
def test_each_is_missing_before_and_there_after(
    one: Resource, settled: Path, tmp_path: Path
) -> None:
    assert shell(settled, check(one)).returncode == 0
    assert shell(tmp_path, check(one)).returncode != 0
    assert apply(one) in script()


def test_a_drift_is_seen_and_mended(tmp_path: Path) -> None:
    shell(tmp_path, script())
    before = state_hash(tmp_path)
    drifts = (
        'echo more >>"$HOME"/state/app/etc/3.conf',
        'chmod 777 "$HOME"/state/app/run',
        'ln -sfn elsewhere "$HOME"/state/app/bin/tool-1',
    )
    for drift in drifts:
        shell(tmp_path, drift)
        assert state_hash(tmp_path) != before
        assert shell(tmp_path, script()).stdout == "changed=1\n"
        assert state_hash(tmp_path) == before


def test_the_playbook_is_one_that_orch_takes() -> None:
    playbook = PlaybookFile.model_validate(yaml.safe_load(resources.orch_playbook()))
    assert [one.id for one in playbook.stages] == [one.name for one in RESOURCES]
