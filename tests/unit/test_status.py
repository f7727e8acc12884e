"""What `orch status` concludes from what hosts say: nothing that is not known passes for fine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.contracts import Query
from orchestrator.errors import FilesWrong, OrchError, OutcomeUnknown, Unknown, Unreachable
from orchestrator.facts import Identify, ReadContainers, ReadGpus, ReadListening
from orchestrator.facts.answers import Container, Gpu, Gpus, Identity, ListeningPort
from orchestrator.facts.jobs import ReadJobs, RunningJob
from orchestrator.facts.kept_services import Kept, ReadKept
from orchestrator.facts.lease import Lease, LeaseState
from orchestrator.hosts.reader import Answers
from orchestrator.observe.status import (
    Reply,
    Status,
    judge,
    narrowed,
    questions,
    seen,
    to_ask,
    wanted_ranks,
)
from orchestrator.spec.models import Cluster
from orchestrator.spec.resolve import load_cluster

INVENTORY = """
version: 1
hosts:
  a: {kind: gpu-host, address: a.lan, gpus: 1}
  b: {kind: gpu-host, address: b.lan, gpus: 1}
  c: {kind: gpu-host, address: c.lan, gpus: 1}
"""
CLUSTER = """
version: 1
name: duo
deployments:
  vl: {profile: big, hosts: [a, b], parallel: {tensor: 2}, port: 8000}
  fast: {profile: big, hosts: [c], port: 8001, endpoint: {advertise: 10.0.0.3}}
"""
PROFILE = """
version: 1
engine: vllm
model: /models/big
image: vllm:1
heads: 64
"""
NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z
IDENTITY = Identity(
    os_id="debian",
    os_version="12",
    kernel="6",
    arch="x86_64",
    boot_id="1",
    machine_id="1",
    hostname="h",
    clock_epoch_s=NOW,
    cpus=1,
    user="u",
    uid=1,
    in_lab=False,
)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "big.yaml").write_text(PROFILE)
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    return load_cluster(tmp_path / "cluster.yaml", purpose="look")


def container(name: str, state: str = "running", cluster: str = "duo", **more: Any) -> Container:
    deployment = name.split("-")[2] if name.startswith("orch-") else "?"
    given: dict[str, Any] = {
        "id": "1",
        "image": "vllm:1",
        "image_id": "sha256:1",
        "exit_code": None,
        "oom_killed": False,
        "restart_count": 0,
        "restart_policy": "no",
        "started_at": "2025-12-31T23:58:30.123456789Z",
        "labels": {"orch.cluster": cluster, "orch.deployment": deployment} if cluster else {},
    }
    return Container(name=name, state=state, **(given | more))


def host(*containers: Container, **more: Any) -> dict[Query[Any], Any]:
    return {
        ReadContainers("docker", None): containers,
        Identify(): IDENTITY,
        ReadListening(sudo=True): more.get("listening", ()),
        ReadGpus(): more.get("gpus", Gpus(())),
        ReadKept("duo"): more.get("services", {}),
        Lease(): more.get("lease"),
        ReadJobs(): more.get("jobs", ()),
    }


UP = {
    "a": host(container("orch-duo-vl-0")),
    "b": host(container("orch-duo-vl-1")),
    "c": host(container("orch-duo-fast-0")),
}
ALL = {"vl": Reply(True), "fast": Reply(True)}


def status(
    cluster: Cluster,
    replies: Mapping[str, Reply] = ALL,
    errors: Mapping[str, OrchError] | None = None,
    **hosts: Any,
) -> Status:
    world = {name: Answers(name, {**UP, **hosts}[name]) for name in cluster.hosts}
    wanted = questions(cluster, cluster.hosts.values())
    found = {
        one.name: seen(one, wanted, world, (errors or {}).get(one.name))
        for one in cluster.hosts.values()
    }
    ranks = wanted_ranks(cluster)
    asked = {one.name for one in to_ask(cluster, ranks, found)}
    return judge(cluster, ranks, found, {k: v for k, v in replies.items() if k in asked})


def test_all_up_and_answering_is_zero(cluster: Cluster) -> None:
    found = status(cluster)
    assert found.exit_code == 0
    assert [one.state for one in found.deployments] == ["answers", "answers"]
    assert found.deployments[0].url == "http://a.lan:8000"
    assert found.deployments[1].url == "http://10.0.0.3:8001"
    first = found.deployments[0].ranks[0]
    assert (first.state, first.rank.role, round(first.up_seconds or 0)) == ("running", "head", 90)
    assert not found.strangers
    assert not found.unread


def test_running_but_silent_is_one(cluster: Cluster) -> None:
    found = status(cluster, {"vl": Reply(False, "connection refused"), "fast": Reply(True)})
    assert found.exit_code == 1
    assert (found.deployments[0].state, found.deployments[0].why) == (
        "silent",
        "connection refused",
    )


def test_a_missing_worker_is_named_and_the_head_is_still_asked(cluster: Cluster) -> None:
    found = status(cluster, {"vl": Reply(False, "gone"), "fast": Reply(True)}, b=host())
    assert found.deployments[0].ranks[1].state == "missing"
    assert found.deployments[0].state == "silent"


def test_a_dead_head_is_not_asked(cluster: Cluster) -> None:
    dead = container("orch-duo-vl-0", "exited", exit_code=137, oom_killed=True, restart_count=2)
    found = status(cluster, a=host(dead))
    vl = found.deployments[0]
    assert (vl.state, vl.answers) == ("partly", None)
    assert vl.ranks[0].detail == "exit 137, killed for memory"
    assert vl.ranks[0].restarts == 2
    assert found.exit_code == 1


@pytest.mark.parametrize(("where", "rank"), [("a", 0), ("b", 1)])
def test_with_a_paused_rank_nobody_waits_for_an_answer(
    cluster: Cluster, where: str, rank: int
) -> None:
    """And it keeps its port, which is nobody else's."""
    paused = host(
        container(f"orch-duo-vl-{rank}", "paused"),
        listening=(ListeningPort(8000, "0.0.0.0", "vllm", 77),),
    )
    found = status(cluster, ALL, None, **{where: paused})
    vl = found.deployments[0]
    assert (vl.state, vl.answers, vl.ranks[rank].state) == ("partly", None, "paused")
    assert found.strangers == ()
    assert found.exit_code == 1


def test_nothing_there_is_down(cluster: Cluster) -> None:
    found = status(cluster, a=host(), b=host(), c=host())
    assert [one.state for one in found.deployments] == ["down", "down"]
    assert found.exit_code == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unreachable("no route", host="a"), 3),
        (FilesWrong("~/.ssh/config can't be read"), 2),
        (OutcomeUnknown("cut off"), 3),
    ],
)
def test_a_host_that_is_not_asked_is_unknown(cluster: Cluster, error: OrchError, code: int) -> None:
    found = status(cluster, errors={"a": error}, a={})
    assert found.unreachable == {"a": error}
    assert found.deployments[0].state == "unknown"
    assert found.deployments[0].ranks[0].state == "unknown"
    assert found.exit_code == code


def test_containers_that_cannot_be_read_are_not_down(cluster: Cluster) -> None:
    answers = host() | {ReadContainers("docker", None): Unknown("docker: permission denied")}
    found = status(cluster, c=answers)
    assert found.deployments[1].state == "unknown"
    assert found.unread == ("c: docker: permission denied",)
    assert found.exit_code == 1


def test_that_somebody_works_on_a_host_is_no_fault(cluster: Cluster) -> None:
    now = round(NOW)
    held = LeaseState("t0ken", now, now + 300, "tom@laptop", "r1", "c", 7, now, "/run/orch")
    pull = RunningJob("image-1f", 4711, 720, "Downloading 43%")
    found = status(cluster, a=UP["a"] | {Lease(): held, ReadJobs(): (pull,)})
    assert found.exit_code == 0
    assert (found.leases, found.jobs) == ({"a": held}, {"a": (pull,)})
    cut = status(cluster, a=UP["a"] | {Lease(): Unknown("the lease can't be read")})
    assert cut.unread == ("a: the lease can't be read",)


def test_what_the_files_do_not_know_is_named(cluster: Cluster) -> None:
    found = status(
        cluster,
        c=host(
            container("orch-duo-old-0"),
            container("orch-trio-vl-0", cluster="trio"),
            container("grafana", cluster=""),
            listening=(ListeningPort(8001, "0.0.0.0", "python3", 77),),
            gpus=Gpus((Gpu(0, "GPU-1", "RTX", 24 << 30, 20 << 30, None, "570"),)),
        ),
    )
    told = sorted(one.what for one in found.strangers)
    assert told == [
        "GPU 0: 20.0 of 24.0 GiB are taken, and no rank runs here",
        "orch-duo-old-0 (running) of deployment old, which the files do not place here",
        "orch-trio-vl-0 of the cluster trio",
        "port 8001 of fast is taken by python3",
    ]
    assert {one.host for one in found.strangers} == {"c"}


def test_services_that_orch_started_and_the_files_have_no_more_are_named(cluster: Cluster) -> None:
    kept = {"traces": Kept("traces", "compose", "langfuse")}
    one = cluster.deployments["fast"]
    without = cluster.model_copy(update={"deployments": {"fast": one}})
    found = status(without, a=host(services=kept), b=host(), c=host(services=kept))
    told = (
        "compose langfuse of deployment traces, started by orch, which the files do not place here"
    )
    assert [(one.host, one.what) for one in found.strangers] == [
        ("a", f"{told}; `orch down` stops it"),
        ("c", f"{told}; `orch up` stops it"),
    ]


def test_our_own_port_and_gpu_are_no_strangers(cluster: Cluster) -> None:
    found = status(
        cluster,
        c=host(
            container("orch-duo-fast-0"),
            listening=(ListeningPort(8001, "0.0.0.0", "vllm", 77),),
            gpus=Gpus((Gpu(0, "GPU-1", "RTX", 24 << 30, 20 << 30, None, "570"),)),
        ),
    )
    assert not found.strangers


def test_a_deployment_that_moved_leaves_a_stranger_behind(cluster: Cluster) -> None:
    found = status(cluster, b=host(container("orch-duo-vl-0"), container("orch-duo-vl-1")))
    (stranger,) = found.strangers
    assert stranger.host == "b"
    assert stranger.what.startswith("orch-duo-vl-0 ")


def test_hosts_narrow_to_whole_gangs(cluster: Cluster) -> None:
    small = narrowed(cluster, frozenset({"b"}))
    assert list(small.deployments) == ["vl"]
    assert sorted(small.hosts) == ["a", "b"]
    assert narrowed(cluster, None) is cluster


def test_an_ipv6_address_is_bracketed(cluster: Cluster) -> None:
    one = cluster.deployments["fast"]
    endpoint = one.endpoint.model_copy(update={"advertise": "fd00::1"})
    assert cluster.url(one.model_copy(update={"endpoint": endpoint})) == "http://[fd00::1]:8001"
