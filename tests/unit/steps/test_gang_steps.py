"""A gang's steps against worlds that are written down: what would change, what is waited for, what is refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import Failed, Refused
from orchestrator.facts import (
    Identify,
    ReadGpus,
    ReadImage,
    ReadListening,
    ReadMemory,
    ReadPath,
    ReadRdma,
)
from orchestrator.facts.answers import Gpu, Gpus, Identity, Image, ListeningPort, Memory
from orchestrator.facts.completion import Answer, Completion
from orchestrator.facts.job import Job, JobState
from orchestrator.facts.programs import ReadPrograms
from orchestrator.facts.rank_log import RankLog, ReadRankLog
from orchestrator.facts.rank_mark import ReadRankMark
from orchestrator.plan.decide import decide
from orchestrator.ranks.spec import canonical
from orchestrator.script import Script
from orchestrator.spec.resolve import load_cluster
from orchestrator.steps.image_copy import offer_job, pull_job
from orchestrator.steps.programs import program_steps
from orchestrator.steps.rdma_gate import rdma_gate_steps
from tests.gang_world import IMAGE, TINY, Site, Told, container
from tests.gangs import SPARKS

EXAMPLES = Path(__file__).parents[3] / "examples"

IDENTITY = Identity("debian", "12", "6", "x86_64", "b", "m", "h", 0.0, 2, "orch", 1000, True)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_nothing_runs_so_all_ranks_are_started_at_once(site: Site) -> None:
    assert site.changes() == {
        "tiny/rank/0": "start head orch-demo-tiny-0",
        "tiny/rank/1": "start worker orch-demo-tiny-1",
    }
    assert not site.steps["tiny/rank/1"].needs & {"tiny/rank/0", "tiny/join"}
    plan = decide(site.steps, site.world).plan
    assert {"tiny/join", "tiny/answer"} <= plan.provisional
    assert (
        not {"tiny/stop/spark-1", "tiny/ports/spark-2"} & plan.provisional
    )  # nothing before them moves


def test_what_runs_as_it_should_is_left_alone(site: Site) -> None:
    site.run(*site.ranks())
    site.world["spark-1"].answers[Completion] = Answer(8, "hi", 200)
    assert site.changes() == {}
    decision = decide(site.steps, site.world)
    assert not decision.plan.provisional
    assert decision.missing == frozenset()


def test_a_changed_rank_shows_its_diff_and_makes_its_whole_gang_go(site: Site) -> None:
    site.run(*site.ranks())
    changed = Site(site.cluster.root / "new", TINY.replace("port: 8000", "port: 8010"))
    changed.world = site.world
    found = changed.changes()
    stopped = {"tiny/stop/spark-1", "tiny/stop/spark-2"}
    assert set(found) == {"tiny/rank/0", "tiny/rank/1"} | stopped  # the worker's words are the same
    diff = changed.check("tiny/rank/0").diff
    assert "-file /orch/entry.sh" not in diff
    assert any(line.startswith("-") and "--port 8000" in line for line in diff.splitlines())
    assert any(line.startswith("+") and "--port 8010" in line for line in diff.splitlines())
    for host in ("spark-1", "spark-2"):
        change = changed.check(f"tiny/stop/{host}")
        assert "a gang restarts whole" in change.summary


def test_a_dead_rank_makes_its_whole_gang_go(site: Site) -> None:
    head, worker = site.ranks()
    site.run(head)
    site.run(worker, state="exited", exit_code=137)
    change = site.check("tiny/stop/spark-1")
    assert change.summary == (
        "stop orch-demo-tiny-0: orch-demo-tiny-1 ended with code 137: it was killed, most often for "
        "want of memory, and a gang restarts whole"
    )
    script = site.steps["tiny/stop/spark-1"].apply(change, site.world)
    assert any("docker stop -t 30 orch-demo-tiny-0" in one.sh for one in script.commands.values())


def test_once_stopped_every_rank_is_missing_and_the_stop_is_done(site: Site) -> None:
    assert site.check("tiny/stop/spark-1") is None
    assert site.check("tiny/rank/0").summary == "start head orch-demo-tiny-0"
    head, _ = site.ranks()
    site.run(head)
    assert site.check("tiny/rank/0") is None  # whatever the others do: they start at once


def test_a_newer_image_of_the_same_name_restarts_the_gang(site: Site) -> None:
    site.run(*site.ranks())
    site.world["spark-2"].answers[ReadImage] = replace(IMAGE, id="sha256:" + "b" * 64)
    assert "runs an older orch-lab/host-tree:latest" in site.check("tiny/stop/spark-1").summary


def test_a_rank_that_died_tells_its_last_words(site: Site) -> None:
    head, worker = site.ranks()
    site.run(head, state="exited", exit_code=2)
    site.world["spark-1"].answers[ReadRankLog] = RankLog(
        True, ("vllm: error: unrecognized arguments: --swap-space 4",), "t"
    )
    change = site.check("tiny/rank/0")
    assert "ended with code 2: its arguments are wrong" in change.summary
    assert "unrecognized arguments: --swap-space" in change.summary
    assert change.unmet == f"rank {head.name} ended with code 2: its arguments are wrong"
    assert change.log == "vllm: error: unrecognized arguments: --swap-space 4"
    assert change.hint == "orch logs tiny"
    site.run(worker)
    for step in ("tiny/join", "tiny/answer"):
        with pytest.raises(Failed) as failed:
            site.check(step)
        assert "unrecognized arguments: --swap-space" in failed.value.message
        assert failed.value.host == "spark-1"


def test_a_taken_port_is_refused_with_its_owner(site: Site) -> None:
    taken = ListeningPort(8000, "0.0.0.0", "nginx", 12)
    site.world["spark-1"].answers[ReadListening] = (taken, replace(taken, port=22))
    with pytest.raises(Refused) as refused:
        site.check("tiny/ports/spark-1")
    assert "taken: 8000 by nginx (pid 12)" in refused.value.message
    site.run(site.ranks()[0])
    assert site.check("tiny/ports/spark-1") is None  # our own rank holds it


def test_who_is_in_the_way_is_told_before_anything_is_done(site: Site) -> None:
    taken = ListeningPort(8000, "0.0.0.0", "nginx", 12)
    site.world["spark-1"].answers[ReadListening] = (taken,)
    with pytest.raises(Refused, match=r"8000 by nginx \(pid 12\)"):
        site.check("tiny/room/spark-1")
    (other,) = (rank for rank in site.ranks() if rank.index == 1)
    site.world["spark-1"].containers["old"] = replace(container(other), name="old")
    assert site.check("tiny/room/spark-1") is None  # it is ours, may hold the port, and will go


@pytest.mark.parametrize("labels", [{}, {"orch.cluster": "other"}])
def test_a_stranger_of_a_ranks_name_is_refused(site: Site, labels: dict[str, str]) -> None:
    head = site.ranks()[0]
    site.world["spark-1"].containers[head.name] = replace(container(head), labels=labels)
    for step in ("tiny/room/spark-1", "tiny/ports/spark-1"):
        with pytest.raises(Refused) as refused:
            site.check(step)
        assert head.name in refused.value.message
        assert f"docker rename {head.name}" in refused.value.hint


def test_joining_is_waited_for_and_what_the_ranks_say_is_progress(site: Site) -> None:
    site.run(*site.ranks())
    for told in site.world.values():
        told.answers[ReadRankMark] = False
    first = site.check("tiny/join")
    assert (first.summary, first.log) == ("Ray is starting", "loading shard 1")
    site.world["spark-2"].answers[ReadRankLog] = RankLog(True, ("joining",), "t2")
    assert site.check("tiny/join").progress != first.progress
    site.world["spark-1"].answers[ReadRankMark] = True
    assert site.check("tiny/join") is None


def test_only_tokens_are_an_answer(site: Site) -> None:
    site.run(*site.ranks())
    told = site.world["spark-1"].answers
    told[Completion] = Answer(0, status=0, why="connection refused")
    found = site.check("tiny/answer")
    assert (found.summary, found.log) == ("loading", "loading shard 1")
    told[Completion] = Answer(0, status=500, why="HTTP 500: boom")
    assert "no answer yet (HTTP 500: boom)" in site.check("tiny/answer").summary
    told[Completion] = Answer(0, status=200, why="the stream ended without a token")
    assert site.check("tiny/answer") is not None
    told[Completion] = Answer(0, status=404, why="HTTP 404: no such model")
    with pytest.raises(Failed, match="no such model"):
        site.check("tiny/answer")
    told[Completion] = Answer(8, "hello", 200)
    assert site.check("tiny/answer") is None


def test_the_restart_policy_is_set_after_the_answer(site: Site) -> None:
    site.run(*site.ranks(), restart_policy="no")
    step = site.steps["tiny/supervise/1"]
    assert "tiny/answer" in step.needs
    change = step.check(site.world)
    assert change is not None
    assert "from no to on-failure:10" in change.summary
    script = step.apply(change, site.world)
    assert list(script.commands) == ["mark", "update"]
    site.run(*site.ranks())
    assert step.check(site.world) is None


def test_after_means_that_the_other_has_answered(tmp_path: Path) -> None:
    second = "ll: {profile: lab-llama, hosts: [spark-1, spark-2], port: 8002, after: [tiny]}"
    site = Site(tmp_path, TINY + "\n" + second)
    assert "tiny/answer" in site.steps["ll/rank/0"].needs
    assert "tiny/answer" not in site.steps["tiny/rank/0"].needs


def test_weights_that_are_missing_or_unlike_are_refused_by_host(site: Site) -> None:
    assert site.check("tiny/weights") is None
    there = site.world["spark-1"].answers[ReadPath]
    site.world["spark-2"].answers[ReadPath] = replace(there, exists=False, files=0, fingerprint="")
    with pytest.raises(Refused, match="/models/tiny-llama is missing on spark-2"):
        site.check("tiny/weights")
    site.world["spark-2"].answers[ReadPath] = replace(there, fingerprint="g")
    with pytest.raises(Refused, match="on spark-2 is another than on spark-1"):
        site.check("tiny/weights")
    site.world["spark-2"].answers[ReadPath] = replace(there, broken=1)
    with pytest.raises(Refused, match="links that lead nowhere"):
        site.check("tiny/weights")
    half = replace(there, lacks=2, first_lacking="model-00002-of-00003.safetensors", unfinished=1)
    site.world["spark-2"].answers[ReadPath] = half
    told = (
        r"not whole on spark-2: 2 of its files are missing \(model-00002.* …\); 1 half downloaded"
    )
    with pytest.raises(Refused, match=told):
        site.check("tiny/weights")


def test_an_image_is_pulled_and_one_that_differs_is_pulled_by_digest(site: Site) -> None:
    absent = Image(IMAGE.reference, False, "", ())
    from_registry = replace(IMAGE, digests=("orch-lab/host-tree@sha256:" + "d" * 64,))
    site.world["spark-1"].answers[ReadImage] = from_registry
    site.world["spark-2"].answers[ReadImage] = absent
    assert site.check("tiny/image/spark-1") is None
    step = site.steps["tiny/image/spark-2"]
    change = step.check(site.world)
    assert change is not None
    assert change.summary == "pull orch-lab/host-tree:latest"
    assert b"docker pull orch-lab/host-tree@sha256:ddd" in _job(step.apply(change, site.world))
    site.world["spark-2"].answers[Job] = JobState(
        "image", "running", log_bytes=10, tail="layer 3\n"
    )
    watched = step.check(site.world)
    assert watched is not None
    assert watched.under_way
    assert "layer 3" in watched.progress
    digest_ = "orch-lab/host-tree@sha256:" + "c" * 64
    site.world["spark-1"].answers[ReadImage] = replace(IMAGE, digests=(digest_,))
    site.world["spark-2"].answers |= {
        ReadImage: replace(IMAGE, id="sha256:" + "b" * 64),
        Job: JobState("image", "absent"),
    }
    change = step.check(site.world)
    assert change is not None
    assert digest_ in change.summary
    assert f"docker tag {digest_} {IMAGE.reference}".encode() in _job(
        step.apply(change, site.world)
    )


def test_an_image_that_no_registry_has_goes_from_host_to_host(site: Site) -> None:
    site.world["spark-2"].answers[ReadImage] = Image(IMAGE.reference, False, "", ())
    for told in site.world.values():
        told.answers[Identify] = replace(IDENTITY, boot_id=f"boot of {told.assumed.host.name}")
    offer, take = site.steps["tiny/image-offer/spark-1"], site.steps["tiny/image/spark-2"]
    assert site.check("tiny/image-offer/spark-2") is None
    assert offer.id in take.needs
    offered, taken = offer.check(site.world), take.check(site.world)
    assert offered is not None
    assert offered.summary == "offer orch-lab/host-tree:latest to spark-2"
    assert taken is not None
    assert taken.summary == "copy orch-lab/host-tree:latest from spark-1"
    word = hashlib.sha256(f"boot of spark-1\0{IMAGE.id}".encode()).hexdigest().encode()
    given, gotten = _job(offer.apply(offered, site.world)), _job(take.apply(taken, site.world))
    assert word in given
    assert word in gotten
    assert b"docker load" in gotten
    running = JobState("offer", "running")
    site.world["spark-1"].answers[offer_job(site.cluster, site.cluster.deployments["tiny"])] = (
        running
    )
    assert offer.check(site.world) is None


def test_an_image_that_can_not_be_pulled_is_copied_the_next_time(site: Site) -> None:
    of_registry = replace(IMAGE, digests=("orch-lab/host-tree@sha256:" + "c" * 64,))
    site.world["spark-1"].answers[ReadImage] = of_registry
    site.world["spark-2"].answers[ReadImage] = Image(IMAGE.reference, False, "", ())
    assert site.check("tiny/image/spark-2").summary == "pull orch-lab/host-tree:latest"
    assert site.check("tiny/image-offer/spark-1") is None
    job = pull_job(site.cluster.deployments["tiny"])
    site.world["spark-2"].answers[job] = JobState("image", "done", rc=1, tail="no such host\n")
    assert "can't be pulled here (no such host)" in site.check("tiny/image/spark-2").summary
    assert site.check("tiny/image-offer/spark-1") is not None


def test_an_image_that_is_nowhere_says_what_the_registry_said(site: Site) -> None:
    for told in site.world.values():
        told.answers[ReadImage] = Image(IMAGE.reference, False, "", ())
        told.answers[Job] = JobState("image", "done", rc=1, tail="manifest unknown\n")
    change = site.check("tiny/image/spark-2")
    assert change.summary == (
        "pull orch-lab/host-tree:latest (the last try failed, exit code 1: manifest unknown)"
    )


def test_an_image_without_ray_is_refused_before_the_start(site: Site) -> None:
    told = site.world["spark-1"].answers
    told[ReadPrograms] = None
    step = site.steps["tiny/programs/spark-1"]
    change = step.check(site.world)
    assert change is not None
    (command,) = step.apply(change, site.world).commands.values()
    assert "--entrypoint sh orch-lab/host-tree:latest -c" in command.sh
    assert "--mount type=bind,source=/usr,target=/usr,readonly" in command.sh
    told[ReadPrograms] = {"vllm": True, "ray": False, "python3": True}
    with pytest.raises(Refused) as refused:
        step.check(site.world)
    assert "has no ray" in refused.value.message
    assert "executor: native" in refused.value.hint
    told[ReadPrograms] = {"vllm": True, "ray": True, "python3": True}
    assert step.check(site.world) is None


@pytest.mark.parametrize(
    ("found", "warned"),
    [
        ("nccl libnccl.so.2.28.9 nvidia_nccl_cu13-2.30.7.dist-info", True),
        ("nccl nvidia_nccl_cu13-2.30.7.dist-info", False),
        ("ray", False),  # where no NCCL was found, nothing is known against it
    ],
)
def test_an_nccl_that_knows_no_ring_is_warned_of(found: str, warned: bool) -> None:
    cluster = load_cluster(EXAMPLES / "ring-of-three/cluster.yaml")
    steps = {step.id: step for step in program_steps(cluster, {})}
    told = Told(None, answers={ReadPrograms: {found: True}})
    (said,) = [*steps["vl/programs/spark-1"].remarks({"spark-1": told}), *([] if warned else [""])]
    assert ("NCCL 2.28.9" in said and "2.30.7" in said) is warned


def test_the_nccl_of_a_pair_is_no_matter() -> None:
    cluster = load_cluster(EXAMPLES / "two-sparks/cluster.yaml")
    steps = {step.id: step for step in program_steps(cluster, {})}
    told = Told(None, answers={ReadPrograms: {"nccl libnccl.so.2.28.9": True}})
    assert steps["vl/programs/spark-2"].remarks({"spark-2": told}) == ()


def test_too_little_memory_is_refused_with_both_figures(tmp_path: Path) -> None:
    line = "vl: {profile: qwen3-vl-235b-awq, hosts: [spark-2, spark-3], parallel: {tensor: 2}}"
    site = Site(tmp_path, line, SPARKS)
    site.world["spark-2"].answers[ReadMemory] = Memory(128 * 2**30, 90 * 2**30, 0, 0)
    assert site.steps["vl/memory/spark-2"].check(site.world) is None
    site.world["spark-2"].answers[ReadMemory] = Memory(128 * 2**30, 80 * 2**30, 0, 0)
    with pytest.raises(Refused, match=r"vl needs 89\.6 GiB of memory, 80 GiB of 128 GiB"):
        site.steps["vl/memory/spark-2"].check(site.world)


CARDS = """\
version: 1
hosts:
  rig: {kind: gpu-host, address: 10.0.0.9, gpus: [{index: 0}, {index: 1, uuid: GPU-b}], become: never}
"""


def card(index: int, free: int | None, total: int | None = 80) -> Gpu:
    all_, left = (None if one is None else one * 2**30 for one in (total, free))
    one = Gpu(index, f"GPU-{'ab'[index]}", "NVIDIA H200", all_, 0, None, "580.159.04")
    return replace(one, memory_free_bytes=left)


@pytest.mark.parametrize(
    ("gpus", "cards", "why"),
    [
        ("1", (card(0, 10), card(1, 0)), None),
        ("[1]", (card(0, 10), card(1, 9)), r"chat needs 10 GiB of GPU 1, 9 GiB of 80 GiB is free"),
        ("all", (card(0, 80), card(1, 9)), r"GPU 1, 9 GiB of 80 GiB is free"),
        ("1", (card(0, None), card(1, 80)), r"GPU 0, nobody knows how much of 80 GiB is free"),
        ("1", (card(0, None, None),), r"chat needs 10 GiB of memory, 1 GiB of 64 GiB"),
        ("0", (card(0, 80), card(1, 80)), r"chat needs 10 GiB of memory, 1 GiB of 64 GiB"),
    ],
)
def test_a_card_with_memory_of_its_own_is_asked_itself(
    tmp_path: Path, gpus: str, cards: tuple[Gpu, ...], why: str | None
) -> None:
    """The host's memory is another; a card that can't say what is used is no pass."""
    line = f"chat: {{profile: llama-8b-q6k, hosts: [rig], gpus: {gpus}, memory: 10GiB}}"
    site = Site(tmp_path, line, CARDS)
    site.world["rig"].answers |= {
        ReadMemory: Memory(64 * 2**30, 2**30, 0, 0),
        ReadGpus: Gpus(cards),
    }
    if why is None:
        assert site.check("chat/memory/rig") is None
        return
    with pytest.raises(Refused, match=why):
        site.check("chat/memory/rig")


def test_a_host_that_refuses_the_memlock_limit_is_named(tmp_path: Path) -> None:
    line = "vl: {profile: qwen3-vl-235b-awq, hosts: [spark-2, spark-3], parallel: {tensor: 2}}"
    site = Site(tmp_path, line.replace("}}", "}, gate: {rdma: required}}"), SPARKS)
    steps = {step.id: step for step in rdma_gate_steps(site.cluster, {})}
    assert set(steps) == {"vl/rdma/spark-2", "vl/rdma/spark-3"}
    assert steps["vl/rdma/spark-2"].check(site.world) is None
    told = site.world["spark-2"]
    there = told.assumed.get(ReadRdma())
    told.answers[ReadRdma] = replace(there, memlock_unlimited=False)
    with pytest.raises(Refused, match="can't lift the limit of locked memory"):
        steps["vl/rdma/spark-2"].check(site.world)
    assert site.ranks("vl")[0].rdma is False  # and no flag that docker would refuse
    told.answers[ReadRdma] = replace(there, dev_infiniband=False)
    with pytest.raises(Refused, match="no /dev/infiniband"):
        steps["vl/rdma/spark-2"].check(site.world)


def test_down_takes_what_the_files_know_and_what_they_do_not(site: Site) -> None:
    head, worker = site.ranks()
    site.run(head, worker)
    old = container(replace(worker, deployment="gone", name="orch-demo-gone-0"))
    site.world["spark-2"].containers[old.name] = old
    assert set(site.down) == {
        "down/spark-1",
        "down/spark-2",
        "down/tiny/spark-1",
        "down/tiny/spark-2",
    }
    change = site.down["down/spark-2"].check(site.world)
    assert change is not None
    assert change.summary == "stop and remove orch-demo-gone-0 (running)"
    assert site.down["down/spark-1"].check(site.world) is None
    change = site.down["down/tiny/spark-2"].check(site.world)
    assert change is not None
    script = site.down["down/tiny/spark-2"].apply(change, site.world)
    text = "\n".join(one.sh for one in script.commands.values())
    assert "docker stop -t 30 orch-demo-tiny-1" in text
    assert "orch-demo-gone-0" not in text
    assert "rm -rf /var/lib/orch/ranks/orch-demo-tiny-1" in text


def test_down_goes_in_reverse_order(tmp_path: Path) -> None:
    second = "ll: {profile: lab-llama, hosts: [spark-1, spark-2], port: 8002, after: [tiny]}"
    site = Site(tmp_path, TINY + "\n" + second)
    assert site.down["down/tiny/spark-1"].needs == {"down/ll/spark-1", "down/ll/spark-2"}
    assert site.down["down/ll/spark-1"].needs == frozenset()


def _job(script: Script) -> bytes:
    return b"".join(command.stdin for command in script.commands.values())


def test_labels_are_readable_json(site: Site) -> None:
    for rank in site.ranks():
        assert json.loads(canonical(rank))["name"] == rank.name
