"""A playbook becomes steps for a cluster's hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli.playbooks import load_playbook
from orchestrator.errors import FilesWrong
from orchestrator.plan.build import build
from tests.gangs import LAB, cluster_of

TINY = "tiny: {profile: lab-llama, hosts: [spark-1, spark-2], port: 8000}"


def test_half_a_gang_is_not_started(tmp_path: Path) -> None:
    cluster = cluster_of(tmp_path, TINY, LAB)
    up, down = (load_playbook(name, tmp_path) for name in ("up", "down"))
    with pytest.raises(FilesWrong, match="tiny also runs on spark-2") as refused:
        build(cluster, up, frozenset({"spark-1"}))
    assert refused.value.hint == "--hosts spark-1,spark-2"
    whole = build(cluster, up, frozenset({"spark-1", "spark-2"}))
    assert {"tiny/rank/0", "tiny/rank/1"} <= whole.keys()
    assert build(cluster, down, frozenset({"spark-1"})).keys() == {
        "down-services/spark-1",
        "down/spark-1",
        "down/tiny/spark-1",
    }
