"""Every `vllm serve` line that is rendered is one that vLLM's own argument parser takes, and means what was said.

The parser is that of the vLLM that rehearsal hosts serve with, run on such a host.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest

from orchestrator.contracts import Rank
from orchestrator.engines import engine
from orchestrator.facts.assumed import assumed_world
from tests.gangs import LAB, SPARKS, TOWER, cluster_of
from tests.lab.conftest import Lab

PROGRAM = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser())
for line in json.load(sys.stdin):
    given = vars(parser.parse_args(line))
    print(json.dumps({key: value for key, value in given.items()}, default=str))
"""
CASES = {
    "ray": "vl: {profile: lab-vllm, hosts: [spark-1, spark-2], parallel: {tensor: 2}}",
    "native": "vl: {profile: lab-vllm-native, hosts: [spark-1, spark-2], parallel: {tensor: 2}}",
    "data": "vl: {profile: lab-vllm-native, hosts: [spark-1, spark-2], parallel: {data: 2}}",
    "ray-data": "vl: {profile: lab-vllm, hosts: [spark-1, spark-2], parallel: {data: 2}}",
    "pipeline": "vl: {profile: lab-vllm-native, hosts: [spark-1, spark-2], parallel: {pipeline: 2}}",
    "notes": "vl: {profile: qwen3-vl-235b-awq, hosts: [spark-2, spark-3], parallel: {tensor: 2}}",
    "122b": "vl: {profile: qwen3.5-122b-fp8, hosts: [spark-2, spark-3], parallel: {tensor: 2}}",
    "35b": "vl: {profile: qwen3.5-35b-fp8, hosts: [spark-2], port: 8001}",
    "bge": "vl: {profile: bge-base, hosts: [spark-2], port: 8001, memory: 3GiB}",
    "glm": "vl: {profile: glm-4.7-flash-awq, hosts: [tower], gpus: [0, 1], parallel: {tensor: 2}}",
    "minimax": "vl: {profile: minimax-m2.5, hosts: [tower], parallel: {tensor: 3}}",
    "coder": "vl: {profile: qwen3-coder-fp8, hosts: [tower], gpus: [0, 1], parallel: {tensor: 2}}",
    "next": "vl: {profile: qwen3-coder-next, hosts: [tower], parallel: {pipeline: 3}}",
    "32b": "vl: {profile: qwen3-32b-awq, hosts: [tower], gpus: [0, 1], parallel: {tensor: 2}}",
    "vl-32b": "vl: {profile: qwen3-vl-32b, hosts: [tower], gpus: [0, 1], parallel: {tensor: 2}}",
    "8b": "vl: {profile: qwen3-8b, hosts: [tower], gpus: [2]}",
    "1.7b": "vl: {profile: qwen3-1.7b, hosts: [tower], gpus: [2]}",
    "odd": "vl: {profile: odd, hosts: [spark-1]}",
}
ODD = """
    engine: vllm
    model: m
    image: i
    args:
      max-model-len: -1
      max-num-seqs: null
      allowed-origins: ["https://a", "b c"]
      middleware: [a.B, c.D]
      lora-modules: [{name: a, path: /x, base_model_name: m}]
      enable-prefix-caching: false
      chat-template: "{{ '--$(touch /tmp/never)' }}"
      disable-access-log-for-endpoints: [/health, /metrics]
      kv_cache_dtype_skip_layers: ["0", "1"]
      hf-overrides: {text_config: {rope_theta: 10000000}}
"""


pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


def line(rank: Rank) -> list[str]:
    """The words after `vllm serve`."""
    if rank.entrypoint == "vllm":
        return list(rank.argv[1:])
    found = re.search(r"(?:setsid|exec) (vllm serve .*?)(?: &)?\n", rank.files["/orch/entry.sh"])
    assert found is not None
    return shlex.split(found[1])[2:]


@pytest.fixture(scope="module")
def parsed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    lines: list[tuple[str, list[str]]] = []
    for name, deployments in CASES.items():
        on_sparks = "spark-2" in deployments and "spark-1" not in deployments
        inventory = TOWER if "tower" in deployments else SPARKS if on_sparks else LAB
        cluster = cluster_of(tmp_path_factory.mktemp(name), deployments, inventory, {"odd": ODD})
        ranks = engine("vllm").ranks(cluster, cluster.deployments["vl"], assumed_world(cluster))
        lines += [(name, line(one)) for one in ranks if "vllm serve" in str(one)]
        lines += [(name, line(one)) for one in ranks if one.entrypoint == "vllm"]
    env = ["PYTHONPATH=/opt/orch-lab/engine", "VLLM_LOGGING_LEVEL=ERROR"]
    asked = json.dumps([words for _, words in lines])
    argv = ["env", *env, "/usr/bin/python3", "-c", PROGRAM]
    done = lab.run("spark-1", argv, timeout=240, check=False, given=asked)
    assert done.returncode == 0, done.stderr[-2000:]
    answers = [json.loads(text) for text in done.stdout.splitlines() if text[:1] == "{"]
    assert len(answers) == len(lines)
    found: dict[str, list[dict[str, Any]]] = {}
    for (name, _), answer in zip(lines, answers, strict=True):
        found.setdefault(name, []).append(answer)
    return found


def test_ray(parsed: dict[str, list[dict[str, Any]]]) -> None:
    (head,) = parsed["ray"]
    assert head["tensor_parallel_size"] == 2
    assert head["distributed_executor_backend"] == "ray"
    assert head["kv_cache_memory_bytes"] == 67108864
    assert head["port"] == 8000


def test_native(parsed: dict[str, list[dict[str, Any]]]) -> None:
    head, worker = parsed["native"]
    assert (head["nnodes"], head["node_rank"], head["headless"]) == (2, 0, False)
    assert (worker["nnodes"], worker["node_rank"], worker["headless"]) == (2, 1, True)
    assert head["master_addr"] == worker["master_addr"] == "10.20.0.10"
    assert head["master_port"] == worker["master_port"] == 29501


def test_data_and_pipeline(parsed: dict[str, list[dict[str, Any]]]) -> None:
    head, worker = parsed["data"]
    assert (head["data_parallel_size"], head["data_parallel_size_local"]) == (2, 1)
    assert (worker["data_parallel_start_rank"], worker["headless"]) == (1, True)
    (ray,) = parsed["ray-data"]
    assert (ray["data_parallel_size"], ray["data_parallel_size_local"]) == (2, 1)
    assert ray["data_parallel_backend"] == ray["distributed_executor_backend"] == "ray"
    assert ray["data_parallel_address"] == "10.20.0.10"
    assert [one["pipeline_parallel_size"] for one in parsed["pipeline"]] == [2, 2]


def test_the_profiles_of_the_field_notes(parsed: dict[str, list[dict[str, Any]]]) -> None:
    (notes,) = parsed["notes"]
    assert notes["quantization"] == "awq"
    assert notes["gpu_memory_utilization"] == 0.7
    assert notes["limit_mm_per_prompt"] == {"video": 0}
    assert notes["tool_call_parser"] == "hermes"
    assert notes["scheduling_policy"] == "priority"
    assert parsed["122b"][0]["hf_overrides"] == {"text_config": {"rope_theta": 10000000}}
    assert parsed["35b"][0]["port"] == 8001


def test_the_other_profiles(parsed: dict[str, list[dict[str, Any]]]) -> None:
    assert (parsed["bge"][0]["runner"], parsed["bge"][0]["gpu_memory_utilization"]) == (
        "pooling",
        0.0246,
    )
    assert parsed["glm"][0]["enable_expert_parallel"] is True
    assert (parsed["glm"][0]["kv_cache_dtype"], parsed["glm"][0]["dtype"]) == ("auto", "half")
    assert "deep_gemm" in str(parsed["minimax"][0]["moe_backend"])
    assert parsed["minimax"][0]["load_format"] == "fastsafetensors"
    assert parsed["coder"][0]["tool_call_parser"] == "qwen3_coder"
    assert parsed["next"][0]["pipeline_parallel_size"] == 3
    assert all(parsed[name][0]["tool_call_parser"] == "hermes" for name in ("32b", "8b", "1.7b"))


def test_odd_values_arrive_as_they_were_written(parsed: dict[str, list[dict[str, Any]]]) -> None:
    (odd,) = parsed["odd"]
    assert odd["allowed_origins"] == ["https://a", "b c"]
    assert odd["middleware"] == ["a.B", "c.D"]
    assert odd["enable_prefix_caching"] is False
    assert odd["chat_template"] == "{{ '--$(touch /tmp/never)' }}"
    assert odd["kv_cache_dtype_skip_layers"] == ["0", "1"]
    assert "name='a'" in str(odd["lora_modules"])
