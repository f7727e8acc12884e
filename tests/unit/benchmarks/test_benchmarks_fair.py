"""The comparisons are with the same thing: the same engine by hand, a cluster file that is really so large."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import yaml

from benchmarks import big_cluster
from orchestrator.cli.playbooks import cluster_playbook
from orchestrator.plan.build import build
from orchestrator.spec.resolve import load_cluster

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "benchmarks" / "up_by_hand.sh"


def test_by_hand_starts_what_orch_starts() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    profile = yaml.safe_load((ROOT / "profiles" / "lab-vllm.yaml").read_text(encoding="utf-8"))
    for name, value in profile["env"].items():
        assert f"-e {name}={value}" in text
    for name in ("dtype", "max-model-len", "max-num-seqs", "kv-cache-memory-bytes"):
        assert f"--{name} {profile['args'][name]}" in text
    assert profile["args"]["compilation-config"] == {"mode": 2, "backend": "eager"}
    assert '{\\"mode\\":2,\\"backend\\":\\"eager\\"}' in text
    for name, value in profile["ray"].items():
        assert f"--{name}={value}" in text
    for mount in profile["mounts"]:
        assert f"-v {mount['from']}:{mount['to']}:ro" in text
    for path, options in profile["tmpfs"].items():
        assert f"--tmpfs {path}:{options}" in text
    assert f"{profile['image']}" in text
    assert f"vllm serve {profile['model']} --served-model-name {profile['served_name']}" in text


def test_by_hand_is_shell() -> None:
    command = shlex.join(["bash", "-n", str(SCRIPT)])
    assert subprocess.run(["bash", "-c", command], check=False).returncode == 0


def test_the_big_cluster_has_all_its_hosts_in_the_plan(tmp_path: Path) -> None:
    cluster = load_cluster(big_cluster.write(tmp_path, hosts=20, deployments=4))
    assert len(cluster.hosts) == 20
    assert len(cluster.deployments) == 4
    steps = build(cluster, cluster_playbook(cluster, "up"))
    assert {one.host for one in steps.values() if one.host} == set(cluster.hosts)
    assert all(f"m{number}/answer" in steps for number in range(4))
