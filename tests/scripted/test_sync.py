"""Files with `sync: true`: content in the name, whole or not at all, as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.playbooks import cluster_playbook
from orchestrator.engines import engine
from orchestrator.errors import Refused
from orchestrator.facts.assumed import assumed_world
from orchestrator.facts.present import ReadPresent
from orchestrator.plan.build import build
from orchestrator.plan.graph import ancestors
from orchestrator.steps.sync import Synced, sync_steps
from tests.gangs import TOWER, cluster_of, only
from tests.local_shell import SHELLS, run_script

PROFILE = """
    engine: vllm
    model: m
    image: i
    mounts:
      - {from: ./hook.py, to: /hook.py, read_only: true, sync: true}
      - {from: ./tree, to: /tree, sync: true}
      - {from: ./none, to: /none, sync: true}
"""
LINE = "m: {profile: p, hosts: [bare], gpus: [0], port: 8000}"


def steps(folder: Path) -> list[Synced]:
    cluster = cluster_of(folder, LINE, TOWER, {"p": PROFILE})
    found = list(sync_steps(cluster, {}))
    assert all(isinstance(one, Synced) for one in found)
    return [one for one in found if isinstance(one, Synced)]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "tree/sub").mkdir(parents=True)
    (folder / "none").mkdir()
    (folder / "hook.py").write_text("print('$x')\n")
    (folder / "tree/a b").write_bytes(b"\0\xff")
    (folder / "tree/sub/run").write_text("#!/bin/sh\n")
    (folder / "tree/sub/run").chmod(0o755)
    return folder


@pytest.mark.parametrize("shell", SHELLS)
def test_they_arrive_as_they_were(files: Path, tmp_path: Path, shell: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for step in steps(files):
        query = ReadPresent(step.target)
        env = {"HOME": str(home)}
        assert query.parse(run_script(query.ask(), shell, env)) is False
        script = step.apply(step.check(No()) or pytest.fail("no change"), {})
        results = run_script(script, shell, env)
        assert results["sync"].rc == 0, results["sync"].err
        assert query.parse(run_script(query.ask(), shell, env)) is True
    hook, tree, none = (home / step.target.removeprefix("~/") for step in steps(files))
    assert hook.read_text() == "print('$x')\n"
    assert (tree / "a b").read_bytes() == b"\0\xff"
    assert (tree / "sub/run").stat().st_mode & 0o777 == 0o755
    assert list(none.iterdir()) == []
    assert set(hook.parent.iterdir()) == {hook, tree, none}


class No(dict[str, Any]):
    """Hosts that have nothing."""

    def __missing__(self, host: str) -> Any:
        return self

    def get(self, *_: object) -> Any:
        return False


def test_looks_into_an_image_with_the_mounts_come_after(files: Path) -> None:
    """And after the gates that tell what of them is missing."""
    profile = PROFILE.replace("model: m", "model: /models/m") + "      - {from: /srv/x, to: /x}\n"
    cluster = cluster_of(files, LINE, TOWER, {"p": profile})
    before = ancestors(build(cluster, cluster_playbook(cluster, "up")))
    looking = [name for name in before if "/programs/" in name]
    needed = {one.id for one in steps(files)} | {"m/mounts", "m/weights"}
    assert looking
    assert all(needed <= before[name] for name in looking)


def test_a_changed_file_is_another_path_so_its_gang_restarts(files: Path) -> None:
    before = steps(files)[0].target
    cluster = cluster_of(files, LINE, TOWER, {"p": PROFILE})
    rank = engine("vllm").ranks(cluster, only(cluster), assumed_world(cluster))[0]
    (files / "hook.py").write_text("print(1)\n")
    after = steps(files)[0].target
    assert before != after
    assert any(mount.source == before for mount in rank.mounts)


def test_a_missing_file_is_refused_and_named(files: Path) -> None:
    (files / "hook.py").unlink()
    step = steps(files)[0]
    with pytest.raises(Refused, match=r"hook.py, which m mounts, is not on this machine"):
        step.check(No())
