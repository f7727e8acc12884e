"""Clusters from real files and worlds from tables, for tests of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from orchestrator.contracts import Query, Step, World
from orchestrator.errors import NotRead, OrchError
from orchestrator.facts import Identify, ReadPrivilege
from orchestrator.facts.answers import Container, Identity, Memory, Privilege
from orchestrator.plan.stages import stage_builders
from orchestrator.spec.models import Cluster
from orchestrator.spec.resolve import load_cluster

T = TypeVar("T")
GIB = 1024**3

INVENTORY = """\
version: 1
hosts:
  spark-2: {kind: dgx-spark, address: 192.168.102.11, models: /srv/models, install_packages: true}
  spark-3: {kind: dgx-spark, address: spark-3.local, models: /srv/models}
  rehearsal: {kind: lab, address: 10.77.0.11}
  hpc-7: {kind: gpu-host, address: hpc-7, runtime: process, become: never, gpus: 2}
links:
  - [spark-2.p1, spark-3.p1]
"""
CLUSTER = """\
version: 1
name: duo
inventory: inventory.yaml
takeover: [vllm-head, vllm-worker]
deployments:
  vl: {profile: p, hosts: [spark-2, spark-3], parallel: {tensor: 2}, port: 8000, gate: {rdma: required}}
  solo: {profile: q, hosts: [rehearsal], port: 8001}
  hpc: {profile: q, hosts: [hpc-7], port: 8002}
"""
PROFILES = {
    "p": "version: 1\nengine: vllm\nmodel: a/b\nimage: vllm:1\nexecutor: ray\nheads: 8\n",
    "q": "version: 1\nengine: llamacpp\nmodel: /srv/models/m.gguf\nimage: llama:1\n",
}


def cluster(
    folder: Path, inventory: str = INVENTORY, text: str = CLUSTER, profiles: Any = PROFILES
) -> Cluster:
    """A cluster as the loader gives it."""
    (folder / "profiles").mkdir(exist_ok=True)
    for name, profile in profiles.items():
        (folder / "profiles" / f"{name}.yaml").write_text(profile)
    (folder / "inventory.yaml").write_text(inventory)
    (folder / "cluster.yaml").write_text(text)
    return load_cluster(folder / "cluster.yaml", purpose="look")


def steps(stage: str, of: Cluster) -> dict[str, Step]:
    """The stage's steps by id."""
    return {one.id: one for one in stage_builders()[stage](of, {})}


@dataclass
class Told:
    """One host's answers from a table; an error in it is raised."""

    answers: Mapping[Any, object] = field(default_factory=dict)

    def get(self, query: Query[T]) -> T:
        if query not in self.answers:
            raise NotRead(f"{query} was not read")
        answer = self.answers[query]
        if isinstance(answer, OrchError):
            raise answer
        return cast("T", answer)


def world(step: Step, answers: Mapping[Any, object], host: str | None = None) -> World:
    """A world of one host that knows what the step said it reads, and nothing else."""
    name = host or step.host or next(iter(step.touches))
    known = {query for on, query in step.reads if on == name}
    unread = set(answers) - known
    if unread:
        raise AssertionError(f"{step.id} does not read {unread}")
    return {name: Told(answers)}


def identity(**more: Any) -> Identity:
    base = Identity(
        os_id="ubuntu",
        os_version="24.04",
        kernel="6.11",
        arch="aarch64",
        boot_id="b",
        machine_id="m",
        hostname="spark-2",
        clock_epoch_s=1_000_000.0,
        cpus=20,
        user="tom",
        uid=1000,
        in_lab=False,
        controller_epoch_s=1_000_000.0,
    )
    return replace(base, **more)


def memory(**more: Any) -> Memory:
    base = Memory(
        total_bytes=120 * GIB,
        available_bytes=100 * GIB,
        swap_total_bytes=0,
        swap_used_bytes=0,
        free_bytes=60 * GIB,
        droppable_bytes=40 * GIB,
    )
    return replace(base, **more)


def container(name: str, **more: Any) -> Container:
    base = Container(
        name=name,
        id=f"id-of-{name}",
        image="vllm:1",
        image_id="sha256:0",
        state="running",
        exit_code=None,
        oom_killed=False,
        restart_count=0,
        restart_policy="no",
        started_at="2026-01-01T00:00:00Z",
        labels={},
    )
    return replace(base, **more)


SUDO: Mapping[Any, object] = {
    ReadPrivilege(): Privilege(root=False, sudo=True),
    Identify(): identity(),
}
NO_SUDO: Mapping[Any, object] = {
    ReadPrivilege(): Privilege(root=False, sudo=False),
    Identify(): identity(),
}
