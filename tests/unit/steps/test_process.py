"""Hosts without containers: what is planned for them, what is left out, what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from orchestrator.cli.playbooks import load_playbook
from orchestrator.contracts import Query, Rank, Step
from orchestrator.engines import engine
from orchestrator.errors import OrchError, Refused
from orchestrator.facts import ReadGpus, ReadLimits
from orchestrator.facts.answers import Gpus, Limits
from orchestrator.facts.assumed import assumed_world
from orchestrator.facts.container_engine import ReadContainerEngine
from orchestrator.facts.host_programs import ReadHostPrograms
from orchestrator.facts.image import ReadImage
from orchestrator.facts.process_host import ProcessHost, ReadProcessHost
from orchestrator.facts.processes import ReadProcesses
from orchestrator.plan.build import build
from orchestrator.runtimes import runtime
from orchestrator.spec.models import Cluster
from tests.gangs import cluster_of
from tests.local_shell import SHELLS, run_script

T = TypeVar("T")
HPC = """
    version: 1
    hosts:
      hpc-1: {kind: gpu-host, address: 10.0.0.1, gpus: 2, runtime: process, become: never}
      hpc-2: {kind: gpu-host, address: 10.0.0.2, gpus: 2, runtime: process, become: never}
      box: {kind: gpu-host, address: 10.0.0.3, gpus: 2}
"""
BARE = """
    engine: vllm
    executor: native
    model: /scratch/models/m
    venv: cu13/.venv
    cuda_home: /usr/local/cuda-13
    library_paths: [~/nccl/lib]
"""
TWO = 'm: {profile: bare, hosts: [hpc-1, hpc-2], parallel: {tensor: 4}, port: 8000, gate: {rdma: "off"}}'
LLAMA = "engine: llamacpp\nmodel: /scratch/m.gguf\n"


def of(folder: Path, deployments: str = TWO, profile: str = BARE) -> Cluster:
    return cluster_of(folder, deployments, HPC, {"bare": profile})


def ranks(cluster: Cluster) -> list[Rank]:
    world = assumed_world(cluster)
    return [
        one
        for name in cluster.deployments
        for one in engine(cluster.deployments[name].profile.engine).ranks(
            cluster, cluster.deployments[name], world
        )
    ]


def found(cluster: Cluster) -> list[tuple[str, str]]:
    """What `orch check` says of the deployment: severity and message."""
    one = cluster.deployments["m"]
    told = engine(one.profile.engine).validate(cluster, one)
    return [(finding.severity, finding.message) for finding in told]


def up(cluster: Cluster) -> Mapping[str, Step]:
    return build(cluster, load_playbook("up", cluster.root))


@dataclass
class Told:
    """A host's answers as the test tells them."""

    assumed: Any
    answers: dict[Any, Any] = field(default_factory=dict)

    def get(self, query: Query[T]) -> T:
        known = self.answers.get(query, self.answers.get(type(query)))
        answer: T = known if known is not None else self.assumed.get(query)
        return answer


FINE = ProcessHost((), True, False, "/home/tom/.local/state/orch/processes/hpc-1", True)
OPEN = Limits(nofile=1024, memlock_bytes=None)


def checked(cluster: Cluster, step: str, more: Mapping[Any, Any] | None = None) -> Any:
    known = {ReadProcessHost(): FINE, ReadLimits(): OPEN, ReadGpus(): assumed_gpus(cluster)}
    known |= more or {}
    world = {name: Told(facts, known) for name, facts in assumed_world(cluster).items()}
    return up(cluster)[step].check(world)


def assumed_gpus(cluster: Cluster) -> Gpus:
    return assumed_world(cluster)["hpc-1"].get(ReadGpus())


def test_vllm_as_a_process_is_what_the_notes_type_by_hand(tmp_path: Path) -> None:
    head, worker = ranks(of(tmp_path))
    assert head.image == worker.image == ""
    assert (head.mounts, head.state) == ((), "~/.local/state/orch")
    lines = runtime("process").describe(head).splitlines()
    assert 'export VIRTUAL_ENV="$HOME"/cu13/.venv' in lines
    assert "export CUDA_HOME=/usr/local/cuda-13" in lines
    assert 'export PATH="$HOME"/cu13/.venv/bin:/usr/local/cuda-13/bin"${PATH:+:$PATH}"' in lines
    assert (
        'export LD_LIBRARY_PATH="$HOME"/nccl/lib:/usr/local/cuda-13/lib64'
        '"${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"' in lines
    )
    assert lines[-1].startswith("vllm serve /scratch/models/m --host 0.0.0.0 --port 8000")
    assert "--nnodes 2 --node-rank 0 --master-addr 10.0.0.1" in lines[-1]
    assert "--node-rank 1" in runtime("process").describe(worker)


def test_gpus_that_are_chosen_are_those_that_cuda_sees(tmp_path: Path) -> None:
    one = "m: {profile: bare, hosts: [hpc-1], gpus: [1], port: 8000}"
    (made,) = ranks(of(tmp_path, one))
    assert "export CUDA_VISIBLE_DEVICES=1" in runtime("process").describe(made)
    none = "m: {profile: bare, hosts: [hpc-1], gpus: 0, port: 8000}"
    (made,) = ranks(of(tmp_path, none, LLAMA))
    assert "export CUDA_VISIBLE_DEVICES=''" in runtime("process").describe(made)


def test_a_ray_head_writes_nothing_into_the_users_home(tmp_path: Path) -> None:
    head, _ = ranks(of(tmp_path, profile=BARE.replace("native", "ray")))
    assert head.env["VLLM_CONFIG_ROOT"] == "/orch/vllm"
    script = runtime("process").start(head)
    assert b"run=\x01/orch/run ready=\x01/orch/ready" in script.commands["file orch/entry.sh"].stdin
    assert b" /orch/" not in script.commands["file run"].stdin


def test_no_step_asks_for_an_image_an_engine_or_root(tmp_path: Path) -> None:
    steps = up(of(tmp_path))
    stages = {step.stage for step in steps.values()}
    assert {"engine-ready", "programs", "weights", "room", "stop", "start", "answer"} <= stages
    assert not stages & {"image", "image-parity", "privilege", "limits", "packages", "takeover"}
    read = {type(query) for step in steps.values() for _, query in step.reads}
    assert not read & {ReadImage, ReadContainerEngine}
    assert {ReadProcesses, ReadProcessHost, ReadHostPrograms} <= read


def test_in_a_mixed_gang_only_hosts_with_containers_get_the_image(tmp_path: Path) -> None:
    mixed = 'm: {profile: bare, hosts: [hpc-1, box], port: 8000, gate: {rdma: "off"}}'
    cluster = of(tmp_path, mixed, LLAMA + "image: llama:1\n")
    assert [one for one in found(cluster) if one[0] == "error"] == []
    steps = up(cluster)
    images = {
        host for step in steps.values() for host, query in step.reads if type(query) is ReadImage
    }
    assert images == {"box"}
    assert "m/image/box" in steps
    assert "m/image-parity" not in steps
    head, worker = ranks(cluster)
    assert (head.image, worker.image) == ("", "llama:1")
    without = of(tmp_path, mixed, LLAMA)
    assert ("error", "profile bare names no image") in found(without)


@pytest.mark.parametrize(
    ("lines", "severity", "said"),
    [
        ("mounts: [{from: /srv/m, to: /models}]", "error", "/srv/m can't be at /models on hpc-1"),
        ("mounts: [{from: ./a.py, to: /a.py, sync: true}]", "error", "a.py can't be at /a.py"),
        ("packages: [qwen-vl-utils==0.0.14]", "error", "nothing is installed on hpc-1"),
        ("limits: {memory: 1GiB}", "warning", "`limits:` are not enforced for processes (hpc-1)"),
        ("tmpfs: {/x: size=1g}", "warning", "`tmpfs:` is for containers"),
        ("caches: {torch: /root/.cache/x}", "warning", "`caches:` is for containers"),
    ],
)
def test_what_a_process_cant_have_is_said(
    tmp_path: Path, lines: str, severity: str, said: str
) -> None:
    one = "m: {profile: bare, hosts: [hpc-1], port: 8000}"
    told = found(of(tmp_path, one, LLAMA + lines + "\n"))
    assert [where for where, message in told if said in message] == [severity], told


def test_what_it_has_anyway_is_not_said(tmp_path: Path) -> None:
    one = "m: {profile: bare, hosts: [hpc-1], port: 8000}"
    mounts = "mounts: [{from: /srv/m, to: /srv/m}, {from: ~/.cache/huggingface, to: /root/.cache/huggingface}]\n"
    assert found(of(tmp_path, one, LLAMA + mounts)) == []


def test_a_container_is_told_that_an_environment_is_not_for_it(tmp_path: Path) -> None:
    one = "m: {profile: bare, hosts: [box], port: 8000}"
    told = found(of(tmp_path, one, BARE + "    image: i:1\n"))
    assert {message.split(":")[0] for where, message in told if where == "warning"} == {
        "`venv", "`cuda_home", "`library_paths",
    }  # fmt: skip


def test_a_host_that_is_fine_is_let_through(tmp_path: Path) -> None:
    assert checked(of(tmp_path), "hpc-1/engine-ready") is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({ReadProcessHost(): ProcessHost(("setsid",), True, False, "/f", True)}, "need setsid"),
        ({ReadProcessHost(): ProcessHost((), True, False, "/f", False)}, "/f can't be used"),
        ({ReadProcessHost(): ProcessHost((), False, True, "/f", True)}, "KillUserProcesses"),
        ({ReadGpus(): Gpus(())}, "lists no GPU"),
    ],
)
def test_a_host_that_is_not_is_refused(tmp_path: Path, more: Any, said: str) -> None:
    with pytest.raises(Refused, match=said) as refused:
        checked(of(tmp_path), "hpc-1/engine-ready", more=more)
    assert refused.value.hint


def test_a_program_that_is_nowhere_is_refused_before_the_start(tmp_path: Path) -> None:
    query = ReadHostPrograms(("~/cu13/.venv/bin", "/usr/local/cuda-13/bin"), ("vllm",))
    cluster = of(tmp_path)
    assert checked(cluster, "m/programs/hpc-1", more={query: {"vllm": True}}) is None
    with pytest.raises(
        Refused, match=r"no vllm in ~/cu13/.venv/bin and /usr/local/cuda-13/bin and"
    ):
        checked(cluster, "m/programs/hpc-1", more={query: {"vllm": False}})


SPARKS = """
    version: 1
    defaults: {kind: dgx-spark, runtime: process, become: never}
    hosts: {hpc-1: {address: 10.0.0.1}, hpc-2: {address: 10.0.0.2}}
    links: [{ends: [hpc-1.p1, hpc-2.p1], subnets: [192.168.100.0/24, 192.168.101.0/24]}]
"""


def test_rdma_needs_memory_that_may_be_locked(tmp_path: Path) -> None:
    two = "m: {profile: bare, hosts: [hpc-1, hpc-2], parallel: {tensor: 2}, port: 8000}"
    cluster = cluster_of(tmp_path, two, SPARKS, {"bare": BARE})
    assert [one.rdma for one in ranks(cluster)] == [True, True]
    locked = Limits(nofile=1024, memlock_bytes=8 << 20)
    with pytest.raises(Refused, match="m uses RDMA, and this user may lock 8192 KiB") as refused:
        checked(cluster, "hpc-1/engine-ready", {ReadLimits(): locked})
    assert "memlock unlimited" in (refused.value.hint or "")
    assert checked(cluster, "hpc-1/engine-ready", {ReadLimits(): OPEN}) is None


@pytest.mark.parametrize("shell", SHELLS)
def test_programs_are_looked_for_in_the_environment_first(tmp_path: Path, shell: str) -> None:
    made = tmp_path / "v e/bin/it's"
    made.parent.mkdir(parents=True)
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    query = ReadHostPrograms(("v e/bin",), ("it's", "sed", "not-there", "/bin/sh"))
    results = run_script(query.ask(), shell, {"HOME": str(tmp_path)})
    assert query.parse(results) == {"it's": True, "sed": True, "not-there": False, "/bin/sh": True}
    with pytest.raises(OrchError):
        query.parse({})
