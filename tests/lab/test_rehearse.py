"""`orch rehearse` of a pair's own files: a lab of its own, up, an answer, nothing to do, down, and no trace of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.lab import records
from orchestrator.lab.home import Home
from tests.lab.conftest import SET_UP_SECONDS, Lab
from tests.lab.site import ROOT

pytestmark = [pytest.mark.lab, pytest.mark.timeout(SET_UP_SECONDS)]

INVENTORY = """\
version: 1
defaults: {ssh: {user: tom, key: ~/.ssh/nobodys}}
hosts:
  left: {kind: dgx-spark, address: 192.168.102.10}
  right: {kind: dgx-spark, address: 192.168.102.11}
links: [[left.p1, right.p1]]
"""
CLUSTER = """\
version: 1
name: duo
inventory: inventory.yaml
deployments:
  big:
    profile: large
    hosts: [right, left]
    parallel: {tensor: 2}
    port: 8010
    gate: {rdma: required}
  vectors: {profile: embedding, hosts: [left], port: 8011, after: [big], share_gpu: true, memory: 3GiB}
"""
LARGE = "version: 1\nengine: vllm\nmodel: org/large-235b\nserved_name: large\nimage: i\nheads: 64\n"
EMBEDDING = (
    "version: 1\nengine: vllm\nmodel: org/vectors\nserved_name: vectors\nimage: i\ntask: embed\n"
)


@pytest.fixture
def files(lab: Lab, tmp_path: Path) -> Path:
    """Beside the session's own lab: this one has another name and other networks."""
    for name, text in {
        "inventory.yaml": INVENTORY,
        "cluster.yaml": CLUSTER,
        "profiles/large.yaml": LARGE,
        "profiles/embedding.yaml": EMBEDDING,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_pair_is_rehearsed(files: Path) -> None:
    name = f"r{os.getpid()}"
    words = ["rehearse", "--light", "--json", "--name", name, "--dir", str(files / "r")]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(files / "state")}
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *words],
        cwd=files, env=env, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    *events, last = [json.loads(line) for line in done.stdout.splitlines()]

    ends = [one for one in events if one["kind"] == "run-done"]
    assert len(ends) == 3  # up, up, down
    answers = {one["deployment"]: one for one in ends[0]["data"]["served"]}
    assert set(answers) == {"big", "vectors"}
    assert answers["big"]["model"] == "large"
    assert "nothing to do" in ends[1]["text"]
    steps = [one["step"] for one in events if one["kind"] == "step-done"]
    assert steps.index("big/answer") < steps.index("vectors/rank/0")  # the order of the user's file
    assert "right/network/apply" in steps  # the user's cables, in the lab's netplan

    assert (last["kind"], last["ok"]) == ("rehearsal", True)
    told = "\n".join(last["not_rehearsed"])
    for part in ("GPUs", "RDMA verbs and the gate on them: big", "org/large-235b", "memory sizes"):
        assert part in told
    assert name not in records.names(Home())
    assert not (files / "r/inventory.yaml").exists()  # it leads to hosts that are gone
