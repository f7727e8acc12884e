"""Who gets a health check, and what it asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.contracts import Rank
from orchestrator.engines import engine
from orchestrator.facts.assumed import assumed_world
from orchestrator.ranks.health import HEALTH
from orchestrator.runtimes import runtime
from tests.gangs import LAB, cluster_of, only


def ranks(folder: Path, profile: str, more: str = "", own: str = "") -> list[Rank]:
    text = f"tiny: {{profile: own, hosts: [spark-1, spark-2], port: 8010{more}}}"
    cluster = cluster_of(folder, text, LAB, {"own": f"extends: {profile}\n{own}\n"})
    one = only(cluster)
    return list(engine(one.profile.engine).ranks(cluster, one, assumed_world(cluster)))


@pytest.mark.parametrize("profile", ["lab-llama", "lab-vllm", "lab-vllm-native"])
def test_the_head_has_one_and_workers_have_none(tmp_path: Path, profile: str) -> None:
    tensor = "" if profile == "lab-llama" else ", parallel: {tensor: 2}"
    head, worker = ranks(tmp_path, profile, tensor, "ready: {start: 7m}")
    assert head.health == f"sh {HEALTH} python3 127.0.0.1 8010 /health"
    assert HEALTH in head.files
    assert worker.health is None
    assert HEALTH not in worker.files
    line = runtime("docker").describe(head)
    assert "--health-start-period 420s" in line
    assert "--no-healthcheck" not in line
    assert "--no-healthcheck" in runtime("docker").describe(worker)


def test_it_asks_where_the_engine_listens(tmp_path: Path) -> None:
    own = "args: {api-prefix: /a}\ncommands: {rpc-server: x}"
    head, _ = ranks(tmp_path, "lab-llama", ", endpoint: {bind: 10.77.0.11}", own)
    assert head.health == f"sh {HEALTH} python3 10.77.0.11 8010 /a/health"
    other = "commands: {vllm: vllm, python3: /opt/v/bin/python, ray: ray}"
    everywhere = ', parallel: {tensor: 2}, endpoint: {bind: "::"}'
    head, _ = ranks(tmp_path / "v", "lab-vllm", everywhere, other)
    assert head.health == f"sh {HEALTH} /opt/v/bin/python ::1 8010 /health"


def test_an_api_over_tls_is_not_asked(tmp_path: Path) -> None:
    head, _ = ranks(tmp_path, "lab-vllm", ", parallel: {tensor: 2}", "args: {ssl_keyfile: /k}")
    assert head.health is None
    assert HEALTH not in head.files
