"""NCCL's test is rendered as it should be, refused where a model runs, and its table is read by our own parser."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.contracts import Query
from orchestrator.data import packed
from orchestrator.errors import Refused
from orchestrator.facts.answers import Container, Image
from orchestrator.plan.graph import ordered
from orchestrator.rdma.answers import Said
from orchestrator.rdma.nccl import Collective, command, measured
from orchestrator.runtimes import runtime
from orchestrator.steps.gang import image_read, ours
from orchestrator.steps.nccl import (
    COLLECTIVES,
    NcclEnded,
    NcclIdle,
    NcclStart,
    nccl_rank,
    nccl_steps,
)
from tests.unit.network.clusters import cable, cluster, deployment, names
from tests.unit.network.worlds import Answers
from tests.unit.rdma.test_trials import addressed

RUN = "20260101T000000-abcd"
SPREAD = deployment("spark-1", "spark-2")
SPREAD = SPREAD.model_copy(
    update={"profile": SPREAD.profile.model_copy(update={"image": "vllm:1"})}
)
DUO = cluster(names(2), cable("spark-1.p1", "spark-2.p1"), deployments={"vl": SPREAD})

# Answers every question of the script; a call takes a moment, so that there is a rate.
TORCH = """
import time
class Fake:
    def __getattr__(self, name): return lambda *a, **k: Fake()
    def __getitem__(self, at): return Fake()
    def __ne__(self, other): return Fake()
    def __int__(self): return WRONG
    def item(self): return SUM[0]
    def __bool__(self): return True
WRONG = 0
__version__ = "2.9.0"
float32 = float64 = None
SUM = [0]
empty = full = arange = device = lambda *a, **k: Fake()
def tensor(values, **k):
    SUM[0] = 2 * values[0]
    return Fake()
class cuda:
    set_device = synchronize = staticmethod(lambda *a: None)
    class nccl:
        version = staticmethod(lambda: (2, 28, 9))
"""
DIST = """
import time
init_process_group = destroy_process_group = barrier = lambda *a, **k: None
get_rank, get_world_size = (lambda: 0), (lambda: 2)
all_reduce = all_gather_into_tensor = lambda *a: time.sleep(SLOW)
SLOW = 0.002
"""


def world(**containers: str) -> dict[str, Answers]:
    """Both hosts with the image; deployment → state of its container on spark-1."""
    found = {}
    for name in DUO.hosts:
        each = [
            Container(
                f"orch-duo-{one}-0",
                "1",
                "vllm:1",
                "sha256:1",
                state,
                None,
                False,
                0,
                "no",
                "",
                {"orch.deployment": one},
            )
            for one, state in containers.items()
        ]
        more: dict[Query[Any], Any] = {
            ours(DUO, name): tuple(each),
            image_read(DUO, SPREAD, name): Image("vllm:1", True, "sha256:1", ()),
        }
        found[name] = Answers({**addressed(DUO, name).answers, **more})
    return found


def steps() -> list[Any]:
    return list(ordered(nccl_steps(DUO, {"run": RUN})).values())


def test_a_rank_a_host_with_the_gangs_own_environment() -> None:
    one = nccl_rank(DUO, SPREAD, 1, "all_gather", RUN, world())
    assert one.name == "orch-duo-vl-nccl-all-gather-1"
    assert one.argv[:4] == ("/orch/nccl_rank.py", "all_gather", str(2**30), "all_gather_perf")
    assert one.argv[3:] == command("all_gather", 2**30)
    assert set(one.files) == {"/orch/nccl_rank.py", "/orch/nccl_test.py"}
    assert (one.env["RANK"], one.env["WORLD_SIZE"]) == ("1", "2")
    assert one.env["NCCL_IB_HCA"] == "=rocep1s0f1:1,roceP2p1s0f1:1"
    assert one.env["NCCL_DEBUG"] == "INFO"
    assert (
        one.env["PYTHONUNBUFFERED"] == "1"
    )  # tests/captured/gpu: without it NCCL's lines are lost
    head = nccl_rank(DUO, SPREAD, 0, "all_gather", RUN, world())
    assert one.env["MASTER_ADDR"] == head.env["VLLM_HOST_IP"]
    told = runtime("docker").describe(one)
    for word in (
        "--network host",
        "--ipc host",
        "--device=/dev/infiniband",
        "--entrypoint python3",
        "--gpus all",
    ):
        assert word in told, told


def test_collectives_follow_each_other_and_all_ranks_of_one_start_together() -> None:
    found = {one.id: one for one in steps()}
    starts = [one for one in found.values() if isinstance(one, NcclStart)]
    assert len(starts) == 4
    second = found["vl/nccl/all_reduce/0/start"]
    assert second.needs == {f"vl/nccl/all_gather/{n}/ended" for n in (0, 1)}
    assert found["vl/nccl/all_gather/0/start"].needs == found["vl/nccl/all_gather/1/start"].needs


def test_a_model_that_runs_is_left_alone() -> None:
    idle = next(one for one in steps() if isinstance(one, NcclIdle))
    assert idle.check(world()) is None
    assert idle.check(world(vl="exited", other="running")) is None
    with pytest.raises(Refused, match="vl runs there"):
        idle.check(world(vl="running"))


def test_an_image_that_is_not_there_is_refused_not_pulled() -> None:
    idle = next(one for one in steps() if isinstance(one, NcclIdle))
    found = world()
    absent = Image("vllm:1", False, "", ())
    host = found[idle.host]
    found[idle.host] = Answers({**host.answers, image_read(DUO, SPREAD, idle.host): absent})
    with pytest.raises(Refused, match="vllm:1 is not there"):
        idle.check(found)


def test_what_another_run_started_is_started_anew() -> None:
    start = next(one for one in steps() if isinstance(one, NcclStart))
    over = next(one for one in steps() if isinstance(one, NcclEnded))
    assert start.check(world()) is not None
    assert replace(over, run="other").check(world()) is None


def test_where_a_rank_runs_is_told() -> None:
    process = {"runtime": "process"}
    hosts = {name: one.model_copy(update=process) for name, one in DUO.hosts.items()}
    bare = DUO.model_copy(update={"hosts": hosts})
    told = []
    for of in (DUO, bare):
        found = world()
        for name in of.hosts:
            found[name] = Answers({**found[name].answers, ours(of, name): ()})
        start = next(one for one in nccl_steps(of, {"run": RUN}) if isinstance(one, NcclStart))
        change = start.check(found)
        assert change is not None
        told.append(change.summary)
    assert told == [
        "run all_gather of 1024 MiB in vllm:1",
        "run all_gather of 1024 MiB as a process",
    ]


def table(folder: Path, collective: str, wrong: int = 0) -> Said:
    """What the script prints, with a torch that has no GPU."""
    (folder / "torch").mkdir()
    (folder / "torch" / "__init__.py").write_text(TORCH.replace("WRONG = 0", f"WRONG = {wrong}"))
    (folder / "torch" / "distributed.py").write_text(DIST)
    done = subprocess.run(
        [sys.executable, packed("templates") / "rdma" / "nccl_test.py", collective, str(2**28)],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=15,
    )
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("collective", COLLECTIVES)
def test_the_table_is_one_that_the_parser_of_nccl_tests_takes(
    collective: Collective, tmp_path: Path
) -> None:
    said = table(tmp_path, collective)
    log = "spark-1:1:1 [0] NCCL INFO Using network IB\n"
    found = measured(collective, replace(said, out=log + said.out))
    assert found.reason is None, (found.reason, said)
    assert found.gbytes_per_s and 10 < found.gbytes_per_s < 150
    assert (found.bytes, found.wrong) == (2**28, 0)
    assert found.tool == "torch 2.9.0, NCCL 2.28.9"


def test_wrong_values_and_sockets_are_no_pass(tmp_path: Path) -> None:
    said = table(tmp_path, "all_reduce", wrong=3)
    found = measured("all_reduce", said)
    assert found.failure is not None and found.failure.kind == "wrong-values"
