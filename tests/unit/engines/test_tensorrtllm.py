"""TensorRT-LLM's ranks: NVIDIA's own lines for two Sparks, and what is refused before a host is asked."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from orchestrator.contracts import Rank
from orchestrator.engines import engine
from orchestrator.engines.tensorrtllm import NAME
from orchestrator.facts.assumed import assumed_world
from orchestrator.flags import flags
from orchestrator.ranks.arguments import name_of
from orchestrator.runtimes import runtime
from orchestrator.spec.models import Cluster
from tests.gangs import LAB, SPARKS, TOWER, cluster_of, only

# Options of `trtllm-serve serve`, by hand from TensorRT-LLM's tensorrt_llm/commands/serve.py (at 00209af)
OPTIONS = {
    "host", "port", "backend", "log_level", "max_beam_width", "max_batch_size", "max_num_tokens",
    "max_seq_len", "tensor_parallel_size", "tp_size", "pipeline_parallel_size", "pp_size",
    "gpus_per_node", "free_gpu_memory_fraction", "trust_remote_code", "config",
    "extra_llm_api_options", "reasoning_parser", "tool_parser",
}  # fmt: skip
BASE = """
    engine: TensorRT-LLM
    model: /models/m
    image: nvcr.io/nvidia/tensorrt-llm/release:1.3.0rc5
    mounts: [{from: ~/.ssh, to: /tmp/.ssh, read_only: true}]
"""
TWO = "t: {profile: qwen3-235b-nvfp4-trtllm, hosts: [spark-2, spark-3], parallel: {tensor: 2}, port: 8355}"


def ranks(cluster: Cluster, name: str | None = None) -> list[Rank]:
    deployment = cluster.deployments[name] if name else only(cluster)
    return list(engine(NAME).ranks(cluster, deployment, assumed_world(cluster)))


def findings(cluster: Cluster) -> str:
    return "\n".join(str(one) for one in engine(NAME).validate(cluster, only(cluster)))


def test_two_sparks_as_nvidia_has_it(tmp_path: Path) -> None:
    cluster = cluster_of(tmp_path, TWO, SPARKS)
    head, worker = ranks(cluster)
    assert head.files["/orch/entry.sh"].endswith(
        "exec mpirun --allow-run-as-root --hostfile /orch/hostfile -n 2 --mca plm_rsh_args"
        " '-F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -p 2233'"
        " trtllm-llmapi-launch trtllm-serve serve nvidia/Qwen3-235B-A22B-FP4"
        " --host 0.0.0.0 --port 8355 --tp_size 2 --backend pytorch --max_num_tokens 32768"
        " --max_batch_size 4 --extra_llm_api_options /orch/extra-llm-api-options.yaml\n"
    )
    assert "for worker in 192.168.100.11; do" in head.files["/orch/entry.sh"]
    assert head.files["/orch/hostfile"] == "192.168.100.10 slots=1\n192.168.100.11 slots=1\n"
    assert json.loads(head.files["/orch/extra-llm-api-options.yaml"]) == {
        "print_iter_log": False,
        "kv_cache_config": {"dtype": "auto", "free_gpu_memory_fraction": 0.9},
        "cuda_graph_config": {"enable_padding": True},
    }
    serves = worker.files["/orch/entry.sh"]
    assert (
        "exec /usr/sbin/sshd -D -e -f /dev/null -p 2233 -o ListenAddress=192.168.100.11" in serves
    )
    assert [set(one.ports) for one in (head, worker)] == [{8355}, {2233}]
    assert (head.restart, worker.restart) == ("no", "no")
    assert head.health is not None
    assert findings(cluster) == ""


def test_its_container_is_the_playbooks(tmp_path: Path) -> None:
    for one in ranks(cluster_of(tmp_path, TWO, SPARKS)):
        said = runtime("docker").describe(one).replace(" \\\n ", "")
        for words in ("--gpus all", "--network host", "--ulimit memlock=-1", "--ulimit stack=67108864",
                      "--device=/dev/infiniband", "/.ssh,target=/tmp/.ssh,readonly", "UCX_NET_DEVICES=",
                      "NCCL_SOCKET_IFNAME=", "OMPI_MCA_btl_tcp_if_include=", "--entrypoint sh"):  # fmt: skip
            assert words in said, said


def test_scripts_are_shell(tmp_path: Path) -> None:
    for one in ranks(cluster_of(tmp_path, TWO, SPARKS)):
        script = one.files["/orch/entry.sh"]
        subprocess.run(["sh", "-n"], input=script, text=True, check=True)


def test_one_host(tmp_path: Path) -> None:
    profile = (
        BASE
        + "    args: {trust_remote_code: true, enable_chunked_prefill: false, config: /mine.yaml}\n"
    )
    line = "t: {profile: p, hosts: [tower], parallel: {tensor: 3}, port: 8000}"
    (rank,) = ranks(cluster_of(tmp_path, line, TOWER, {"p": profile}))
    assert rank.entrypoint == "trtllm-serve"
    assert " ".join(rank.argv) == (
        "serve /models/m --host 0.0.0.0 --port 8000 --tp_size 3 --trust_remote_code --config /mine.yaml"
    )
    assert rank.files.keys() == {"/orch/health.sh"}


def test_more_than_one_gpu_a_host_and_two_gangs(tmp_path: Path) -> None:
    cluster = cluster_of(
        tmp_path,
        """
        a: {profile: p, hosts: [spark-1, spark-2], parallel: {tensor: 2, pipeline: 2}, port: 8000}
        b: {profile: p, hosts: [spark-1, spark-2], parallel: {tensor: 2}, port: 8001}
        """,
        LAB,
        {"p": BASE},
    )
    head, worker = ranks(cluster, "a")
    assert head.files["/orch/hostfile"] == "10.20.0.10 slots=2\n10.20.0.11 slots=2\n"
    assert " -n 4 " in head.files["/orch/entry.sh"]
    assert "--pp_size 2" in head.files["/orch/entry.sh"]
    assert [set(one.ports) for one in ranks(cluster, "b")] == [{8001}, {2234}]
    assert worker.ports == {2233}


def test_values_do_not_break_out(tmp_path: Path) -> None:
    profile = BASE + "    args: {revision: \"';touch${IFS}/tmp/never;'\"}\n"
    line = "t: {profile: p, hosts: [spark-1, spark-2], parallel: {tensor: 2}}"
    (head, _) = ranks(cluster_of(tmp_path, line, LAB, {"p": profile}))
    assert head.files["/orch/entry.sh"].endswith(
        """--revision ''"'"';touch${IFS}/tmp/never;'"'"''\n"""
    )


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ("    api_key: {env: KEY}\n", "knows no `api_key:`"),
        ("    served_name: s\n", "knows no `served_name:`"),
        ("    packages: [x]\n", "knows no `packages:`"),
        ("    executor: ray\n", "executor ray is vLLM's"),
        ("    args: {tp_size: 2}\n", "orch sets tp_size itself"),
        ("    args: {chat_template: a b}\n", "splits words at blanks: 'a b'"),
    ],
)
def test_what_a_profile_may_not_say(tmp_path: Path, more: str, text: str) -> None:
    line = "t: {profile: p, hosts: [spark-1, spark-2], parallel: {tensor: 2}}"
    assert text in findings(cluster_of(tmp_path, line, LAB, {"p": BASE + more}))


def test_what_a_deployment_may_not_say(tmp_path: Path) -> None:
    line = (
        "t: {profile: p, hosts: [spark-1, spark-2], parallel: {tensor: 3}, supervision: entrypoint}"
    )
    bare = BASE.replace("mounts:", "x-mounts:")
    said = findings(cluster_of(tmp_path, line, LAB, {"p": bare}))
    assert "can't be spread evenly over 2 hosts" in said
    assert "the containers have no keys" in said
    assert "can't take one rank back" in said
    line = "t: {profile: p, hosts: [spark-1, spark-2], parallel: {data: 2}}"
    assert "has no replicas" in findings(cluster_of(tmp_path, line, LAB, {"p": BASE}))


def test_each_option_is_one_of_its_own(tmp_path: Path) -> None:
    known = {name_of(one) for one in OPTIONS}
    line = TWO.replace("{tensor: 2}", "{tensor: 2, pipeline: 2}")
    script = ranks(cluster_of(tmp_path, line, SPARKS))[0].files["/orch/entry.sh"]
    own = script.splitlines()[-1].split(" trtllm-serve serve ")[1].split()
    said = [name_of(word) for word in own if word.startswith("--")]
    assert len(said) == 8
    assert set(said) <= known
    assert set(flags(NAME)["owned"]) <= known
