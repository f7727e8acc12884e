"""Arguments are held to the image's own --help before anything is stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli.playbooks import load_playbook
from orchestrator.contracts import Step
from orchestrator.errors import Refused
from orchestrator.facts.help import ReadHelp
from orchestrator.plan.build import build
from orchestrator.steps.arguments import argument_steps, unknown
from tests.gang_world import Site
from tests.gangs import LAB, cluster_of

TINY = "tiny: {profile: lab-llama, hosts: [spark-1, spark-2], port: 8000}"
VLLM = {"tensor-parallel-size": True, "host": True, "port": True, "max-num-seqs": True, "nnodes": True,
        "distributed-executor-backend": True, "compilation-config": True, "kv-cache-memory-bytes": True}  # fmt: skip
LLAMA = dict.fromkeys(("m", "alias", "host", "port", "rpc", "t", "np", "c", "ngl", "fit"), True) | {
    "metrics": False,
    "skip-chat-parsing": False,
}


def step_of(site: Site) -> Step:
    """The one of the cluster: a worker's arguments are all of orch's own, and are not asked for."""
    (step,) = argument_steps(site.cluster, {})
    return step


@pytest.fixture
def llama(tmp_path: Path) -> Site:
    return Site(tmp_path, TINY)


def test_what_is_not_known_yet_is_read_in_the_image(llama: Site) -> None:
    step = step_of(llama)
    llama.world["spark-1"].answers[ReadHelp] = None
    change = step.check(llama.world)
    assert change is not None
    assert "llama-server" in change.summary
    (command,) = step.apply(change, llama.world).commands.values()
    assert "docker run --rm --network none" in command.sh
    assert "--mount type=bind,source=/usr,target=/usr,readonly" in command.sh
    assert "--entrypoint sh orch-lab/host-tree:latest -c 'llama-server --help'" in command.sh
    assert command.timeout is not None


def test_what_it_knows_passes_and_what_not_is_refused(llama: Site) -> None:
    step = step_of(llama)
    answers = llama.world["spark-1"].answers
    answers[ReadHelp] = LLAMA
    assert step.check(llama.world) is None
    answers[ReadHelp] = {name: value for name, value in LLAMA.items() if name not in ("c", "ngl")}
    with pytest.raises(Refused) as refused:
        step.check(llama.world)
    assert refused.value.message == (
        "llama-server in orch-lab/host-tree:latest has no -c, -ngl: its own --help does not list it"
    )
    assert refused.value.host == "spark-1"
    answers[ReadHelp] = {}
    with pytest.raises(Refused):
        step.check(llama.world)


def test_the_head_is_started_as_its_help_has_it(llama: Site) -> None:
    llama.world["spark-1"].answers[ReadHelp] = LLAMA
    (head, _) = llama.ranks()
    assert " -ngl 99 " in head.files["/orch/entry.sh"]
    assert head.files["/orch/entry.sh"].endswith(" --fit off\n")


def test_the_old_gang_stays_until_then(tmp_path: Path) -> None:
    cluster = cluster_of(tmp_path, TINY, LAB)
    steps = build(cluster, load_playbook("up", tmp_path), frozenset({"spark-1", "spark-2"}))
    assert steps["tiny/arguments/spark-1"].on_demand
    for host in ("spark-1", "spark-2"):
        assert "tiny/arguments/spark-1" in steps[f"tiny/stop/{host}"].needs


def test_vllm_is_asked_for_all_of_it(tmp_path: Path) -> None:
    line = "tiny: {profile: lab-vllm-native, hosts: [spark-1, spark-2], parallel: {tensor: 2}, port: 8000}"
    found = Site(tmp_path, line)
    step = step_of(found)
    found.world["spark-1"].answers[ReadHelp] = None
    change = step.check(found.world)
    assert change is not None
    (command,) = step.apply(change, found.world).commands.values()
    assert "vllm serve --help=all || vllm serve --help" in command.sh


def test_spellings() -> None:
    line = ["/models/m", "--max_num_seqs", "4", "-O3", "--compilation-config.mode", "3", "--max-num", "-1",
            "--chat-template=--x", "--nnodes", "2", '{"a": "--b"}', "-x"]  # fmt: skip
    assert unknown("vllm", line, VLLM) == ["--chat-template", "-x"]
    assert unknown("llamacpp", ["--metric"], LLAMA) == ["--metric"], "llama.cpp takes no beginnings"
