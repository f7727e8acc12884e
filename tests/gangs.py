"""Clusters for tests of engines and steps: written as a user would, loaded as `orch` does."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from orchestrator.spec.models import Cluster, Deployment
from orchestrator.spec.resolve import load_cluster

SPARKS = """
    version: 1
    hosts:
      spark-1: {kind: dgx-spark, address: 192.168.102.10}
      spark-2: {kind: dgx-spark, address: 192.168.102.11}
      spark-3: {kind: dgx-spark, address: 192.168.102.12}
    links:
      - {ends: [spark-2.p1, spark-3.p1], subnets: [192.168.100.0/24, 192.168.101.0/24]}
"""
LAB = """
    version: 1
    hosts:
      spark-1: {kind: lab, address: 10.77.0.11}
      spark-2: {kind: lab, address: 10.77.0.12}
    links:
      - {ends: [spark-1.p1, spark-2.p1], subnets: [10.20.0.0/24, 10.20.1.0/24]}
"""
TOWER = """
    version: 1
    hosts:
      tower:
        kind: gpu-host
        address: 10.0.0.5
        gpus: [{index: 0}, {index: 1, uuid: GPU-aaaa}, {index: 2, memory: 24GiB}]
      bare: {kind: gpu-host, address: 10.0.0.6, become: never, gpus: 2}
"""


def cluster_of(
    folder: Path, deployments: str, inventory: str = LAB, profiles: dict[str, str] | None = None
) -> Cluster:
    """The resolved cluster of these files."""
    (folder / "profiles").mkdir(parents=True, exist_ok=True)
    (folder / "inventory.yaml").write_text(dedent(inventory))
    for name, text in (profiles or {}).items():
        (folder / "profiles" / f"{name}.yaml").write_text("version: 1\n" + dedent(text))
    text = f"version: 1\nname: demo\ndeployments:\n{_indented(deployments)}"
    (folder / "cluster.yaml").write_text(text)
    return load_cluster(folder / "cluster.yaml", purpose="look")


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in dedent(text).strip().splitlines())


def only(cluster: Cluster) -> Deployment:
    """The one deployment of a cluster."""
    (deployment,) = cluster.deployments.values()
    return deployment
