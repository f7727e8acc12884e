"""Sizes that don't fit: one cause is told once, whoever else could tell it too."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.spec.check import check
from tests.gangs import LAB, cluster_of

UNLISTED = """
    version: 1
    hosts: {a: {kind: gpu-host, address: a}, b: {kind: gpu-host, address: b}}
"""
PROFILE = """
    model: /models/m
    image: image:1
    heads: 64
"""
ENGINES = [
    "engine: vllm",
    "engine: vllm\n    executor: native",
    "engine: sglang",
    "engine: tensorrtllm\n    mounts: [{from: ~/.ssh, to: /tmp/.ssh, read_only: true}]",
]


def only_finding(folder: Path, line: str, inventory: str, engine: str) -> str:
    cluster = cluster_of(folder, line, inventory, {"p": f"{PROFILE}    {engine}\n"})
    (only,) = [one for one in check(cluster) if one.severity == "error"]
    return str(only)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("inventory", "hosts", "sizes", "said"),
    [
        (LAB, "spark-1, spark-2", "tensor: 4", "tensor 4 needs 4 GPUs; spark-1, spark-2 hold 2"),
        (LAB, "spark-1, spark-2", "tensor: 3", "tensor 3 needs 3 GPUs; spark-1, spark-2 hold 2"),
        (LAB, "spark-1, spark-2", "tensor: 1", "tensor 1 leaves 1 GPU of 2 unused"),
        (UNLISTED, "a, b", "tensor: 1", "tensor 1 for 2 hosts: one has no rank"),
        (
            UNLISTED,
            "a, b",
            "tensor: 3",
            "64 attention heads can't be divided by 3 (tensor: 2, or p",
        ),
        (LAB, "spark-1", "tensor: 3", "tensor 3 needs 3 GPUs; spark-1 holds 1"),
    ],
)
def test_one_cause_one_finding(
    tmp_path: Path, engine: str, inventory: str, hosts: str, sizes: str, said: str
) -> None:
    line = f"m: {{profile: p, hosts: [{hosts}], parallel: {{{sizes}}}}}"
    assert said in only_finding(tmp_path, line, inventory, engine)


def test_mp_over_hosts_is_told_once(tmp_path: Path) -> None:
    line = "m: {profile: p, hosts: [spark-1, spark-2], parallel: {tensor: 2}}"
    told = only_finding(tmp_path, line, LAB, "engine: vllm\n    executor: mp")
    assert "executor mp is for one host, and these are 2" in told
