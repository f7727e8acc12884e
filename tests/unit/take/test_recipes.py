"""Recipes of sparkrun and spark-vllm-docker; these are small ones of our own, in their format."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import FilesWrong
from orchestrator.take.recipe import filled, generated
from tests.unit.take.made import result, taken

V2 = """\
recipe_version: "2"
model: example/Big-FP8
runtime: vllm
min_nodes: 2
container: example.org/vllm:nightly
metadata: {description: A big one, model_params: 70B}
defaults:
  port: 8001
  host: 0.0.0.0
  tensor_parallel: 2
  gpu_memory_utilization: 0.85
  max_model_len: 65536
  unused_knob: 7
env:
  OMP_NUM_THREADS: 4
  HF_TOKEN: ${HF_TOKEN}
  NCCL_SOCKET_IFNAME: enp1s0f1np1
executor_config: {restart_policy: unless-stopped}
pre_exec: ["pip install flash-attn"]
command: |
  vllm serve {model} \\
    --port {port} --host {host} -tp {tensor_parallel} \\
    --gpu-memory-utilization {gpu_memory_utilization} \\
    --max-model-len {max_model_len} --speculative-config '{"method": "mtp", "n": 2}' \\
    --enable-auto-tool-choice --no-enable-prefix-caching
post_commands: ["curl http://{head_ip}:{port}/v1/models"]
"""
V1 = """\
recipe_version: "1"
name: Middling
description: A middling one
model: example/Middling-AWQ
container: vllm-node
cluster_only: true
solo_only: false
build_args: [--tf5]
mods: [mods/some-fix]
env:
defaults: {port: 8000, host: 0.0.0.0, tensor_parallel: 4, max_model_len: 4096, served_model_name: mid}
command: |
  vllm serve example/Middling-AWQ --served-model-name {served_model_name} --max-model-len {max_model_len} \\
    --tensor-parallel-size {tensor_parallel} --distributed-executor-backend ray --host {host} --port {port} \\
    --chat-template {chat_template}
"""
GGUF = """\
model: example/Small-GGUF:Q4_K_M
runtime: llama-cpp
max_nodes: 1
container: example.org/llama:b1
defaults: {port: 8080, host: 0.0.0.0, n_gpu_layers: 99, ctx_size: 8192}
command: |
  llama-server -hf {model} --host {host} --port {port} --n-gpu-layers {n_gpu_layers} --ctx-size {ctx_size} \\
    --flash-attn on --jinja
"""


def test_a_recipe_of_sparkrun_is_a_profile_and_a_deployment(tmp_path: Path) -> None:
    made = result(tmp_path, V2)
    assert made.taken.format == "sparkrun"
    assert made.errors == []
    assert made.profile == {
        "version": 1,
        "description": "A big one",
        "engine": "vllm",
        "executor": "native",
        "model": "example/Big-FP8",
        "image": "example.org/vllm:nightly",
        "args": {
            "gpu-memory-utilization": 0.85,
            "max-model-len": 65536,
            "speculative-config": {"method": "mtp", "n": 2},
            "enable-auto-tool-choice": True,
            "enable-prefix-caching": False,
        },
        "env": {"OMP_NUM_THREADS": "4"},
        "secrets": {"HF_TOKEN": {"env": "HF_TOKEN"}},
        "mounts": [{"from": "~/.cache/huggingface", "to": "/root/.cache/huggingface"}],
    }
    assert made.deployment == {
        "profile": "my-model",
        "hosts": ["s1", "s2"],
        "port": 8001,
        "parallel": {"tensor": 2},
    }


def test_every_part_that_has_no_place_is_named(tmp_path: Path) -> None:
    made = result(tmp_path, V2)
    for what in ("metadata", "executor_config", "pre_exec", "post_commands", "NCCL_SOCKET_IFNAME"):
        assert [one for one in made.left if what in one], what
    assert [one for one in made.left if one.startswith("defaults.unused_knob (7)")]
    assert "# - pre_exec" in made.files.texts["profiles/my-model.yaml"]


def test_a_recipe_of_spark_vllm_docker(tmp_path: Path) -> None:
    made = result(tmp_path, V1)
    assert made.taken.format == "spark-vllm-docker"
    assert made.errors == []
    assert (made.profile["executor"], made.profile["served_name"]) == ("ray", "mid")
    assert made.deployment["hosts"] == ["s1", "s2", "s3", "s4"]
    assert made.deployment["parallel"] == {"tensor": 4}
    told = " ".join(made.left)
    assert "build_args" in told
    assert "mods/some-fix" in told
    assert "{chat_template}" in told


def test_a_gguf_recipe(tmp_path: Path) -> None:
    made = result(tmp_path, GGUF)
    assert made.errors == []
    assert made.profile["engine"] == "llamacpp"
    assert made.profile["model"] == "example/Small-GGUF:Q4_K_M"
    assert made.profile["args"] == {
        "n-gpu-layers": 99,
        "ctx-size": 8192,
        "flash-attn": "on",
        "jinja": True,
    }
    assert made.deployment == {"profile": "my-model", "hosts": ["s1"], "port": 8080}


def test_an_engine_that_is_not_there_is_told_by_the_check(tmp_path: Path) -> None:
    made = result(
        tmp_path,
        V2.replace("vllm serve {model}", "nosuch serve {model}").replace(
            "runtime: vllm", "runtime: atlas"
        ),
    )
    assert [one for one in made.left if "atlas" in one]
    assert [one for one in made.left if "no model server" in one]


def test_a_recipe_without_a_command_is_started_from_its_defaults(tmp_path: Path) -> None:
    defaults = "{port: 8000, tensor_parallel: 1, trust_remote_code: true}"
    text = f"model: example/Tiny\nruntime: vllm\ncontainer: i\ndefaults: {defaults}\n"
    made = result(tmp_path, text)
    assert made.errors == []
    assert made.profile["args"] == {"trust-remote-code": True}
    line = generated("sglang", {"model": "m", "tensor_parallel": 2, "max_model_len": 9})
    assert (
        line
        == "sglang serve --model-path {model} --tp-size {tensor_parallel} --context-length {max_model_len}"
    )


def test_defaults_may_name_each_other() -> None:
    assert filled("{a} {c}", {"a": "{b}1", "b": 2}) == "21 {c}"
    assert len(filled("{a}", {"a": "{a}{a}"})) <= 2 * 65_536 * 3  # one that names itself ends


def test_fewer_hosts_than_wanted_are_told(tmp_path: Path) -> None:
    made = result(tmp_path, V2, hosts=("s3",))
    assert made.deployment["hosts"] == ["s3"]
    assert made.files.missing == [
        "deployment my-model wants 2 hosts; there: s3. Name them: --hosts A,B, or write `hosts:` into the cluster file"
    ]


@pytest.mark.parametrize("text", ["", "just words", "a: 1\n", "[1, 2]", "{}", "---\n", "\0"])
def test_what_is_nothing_of_the_kind_is_refused(text: str) -> None:
    with pytest.raises(FilesWrong, match="no format"):
        taken(text)
